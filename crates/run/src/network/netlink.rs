//! Netlink: messages of nested attributes to the kernel, and its answers.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;

/// `NLM_F_REQUEST`; every message is one.
const REQUEST: u16 = 1;
/// `NLM_F_ACK`: answer also when it went well.
pub(super) const ACK: u16 = 4;
/// `NLM_F_ROOT | NLM_F_MATCH`: list all.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: fail when it exists.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: make it.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: put it last.
pub(super) const APPEND: u16 = 0x800;
/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// What of an attribute's type is its type.
const KIND: u16 = 0x3fff;
/// `NLMSG_ERROR`: the answer to a request for acknowledgement, or a refusal.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;
/// The longest datagram that is read; the kernel's lists come in datagrams of at most 32 KiB.
const DATAGRAM: usize = 128 << 10;
/// The longest answer that is read in all, so that a vast list cannot fill memory.
const MAX_ANSWER: usize = 64 << 20;

/// The bytes of a message or of an attribute's value.
#[derive(Debug, Default)]
pub(super) struct Body(Vec<u8>);

/// Messages that go out in one piece.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    sequence: u32,
}

/// One message of an answer: what follows the header.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
}

/// A refusal: which message of those sent (from 1), and why.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: u32,
    pub(super) errno: Errno,
}

/// A socket in the network namespace that its maker was in.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Body {
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Appends an attribute. A value beyond 65531 bytes does not fit the length; its message is then
    /// refused by the kernel as malformed.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// A number in the machine's byte order, as routing wants it.
    pub(super) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number in the network's byte order, as netfilter wants it.
    pub(super) fn big(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.attribute(kind | NESTED, &inner.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Messages {
    pub(super) fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Body)) {
        let mut body = Body::default();
        fill(&mut body);
        self.sequence += 1;
        let length = u32::try_from(body.0.len() + 16).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&body.0);
    }

    /// One message alone.
    pub(super) fn one(kind: u16, flags: u16, fill: impl FnOnce(&mut Body)) -> Self {
        let mut messages = Self::default();
        messages.push(kind, flags, fill);
        messages
    }
}

impl Socket {
    /// Opens one; `None` is routing.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Self(fd))
    }

    /// Sends the messages and gives what the kernel answers, acknowledgements apart, or its first
    /// refusal. The kernel works while it is sent to: when the call returns all answers are there, and
    /// the rest of a list appears as its beginning is read.
    pub(super) fn ask(&self, messages: &Messages) -> Result<Vec<Answer>, Refusal> {
        let broken = |errno| Refusal { message: 0, errno };
        if messages.bytes.len() > 64 << 10 {
            let wanted = messages.bytes.len().saturating_mul(4);
            // Without the privilege for it the usual limit holds, and sending says what is wrong.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&self.0, wanted);
        }
        rustix::net::send(&self.0, &messages.bytes, SendFlags::empty()).map_err(broken)?;
        let mut buffer = vec![0; DATAGRAM];
        let (mut answers, mut refused, mut size, mut heard) = (Vec::new(), None, 0, false);
        loop {
            let length = match rustix::net::recv(&self.0, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(broken(errno)),
            };
            heard = true;
            size += length;
            if size > MAX_ANSWER {
                return Err(broken(Errno::MSGSIZE));
            }
            for (kind, sequence, body) in split(buffer.get(..length).unwrap_or_default()) {
                match kind {
                    ERROR | DONE => {
                        let code = word(body, 0).map_or(0, u32::cast_signed);
                        if code < 0 && refused.is_none() {
                            let errno = Errno::from_raw_os_error(code.saturating_neg());
                            refused = Some(Refusal { message: sequence, errno });
                        }
                    }
                    _ => answers.push(Answer { body: body.to_vec() }),
                }
            }
        }
        match refused {
            Some(refusal) => Err(refusal),
            None if heard => Ok(answers),
            None => Err(broken(Errno::NODATA)),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.errno.into()
    }
}

/// The messages of a datagram: type, number, and what follows the header. What is cut off ends it.
fn split(mut bytes: &[u8]) -> Vec<(u16, u32, &[u8])> {
    let mut messages = Vec::new();
    while let (Some(length), Some(kind), Some(sequence)) =
        (word(bytes, 0), half(bytes, 4), word(bytes, 8))
    {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
        let Some(body) = bytes.get(16..length) else { break };
        messages.push((kind, sequence, body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// The attributes in what follows the first `skip` bytes.
pub(super) fn attributes(body: &[u8], skip: usize) -> Vec<(u16, &[u8])> {
    let mut bytes = body.get(skip..).unwrap_or_default();
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (half(bytes, 0), half(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind & KIND, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The value of the first attribute of a type.
pub(super) fn find<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value)
}

/// Four bytes as a number in the machine's order.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The bytes of an attribute as a name, without the zero at its end.
pub(super) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_cut_off_is_left_out() {
        let mut body = Body::default();
        body.raw(&[1, 0, 0, 0]).text(3, "eth0").nest(18, |inner| {
            inner.number(1, 7).big(2, 7);
        });
        let read = attributes(body.bytes(), 4);
        assert_eq!(name(find(&read, 3).unwrap()), "eth0");
        let inner = attributes(find(&read, 18).unwrap(), 0);
        assert_eq!(inner, [(1, &7_u32.to_ne_bytes()[..]), (2, &7_u32.to_be_bytes()[..])]);
        for length in 0..body.bytes().len() {
            let cut = attributes(&body.bytes()[..length], 4);
            assert!(cut.len() <= read.len());
        }
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        assert!(split(&[0; 64]).is_empty());
        assert!(attributes(&[0; 64], 0).is_empty());
        assert!(attributes(&[255; 64], 0).is_empty());
        let mut lying = vec![255; 64];
        lying[4..8].copy_from_slice(&[2, 0, 0, 0]);
        assert_eq!(split(&lying).len(), 1);
    }
}
