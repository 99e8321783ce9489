//! The slots of the shared memory, and the line on which both ends tell each other which are full.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::shared::Shared;

/// One direction: where its slots begin, how many there are, and how many bytes each has.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    start: usize,
    pub(super) slots: u8,
    pub(super) bytes: usize,
}

/// Packed bytes, to the process apart.
pub(super) const IN: Lane = Lane { start: 0, slots: 3, bytes: 128 * 1024 };
/// What it says.
pub(super) const OUT: Lane = Lane { start: 3 * 128 * 1024, slots: 4, bytes: 256 * 1024 };
/// All of it. What both lanes have fits the caches of common processors; each slot costs two messages, and so
/// up to two changes of the process.
pub(super) const MEMORY: usize = OUT.start + 4 * 256 * 1024;

impl Lane {
    fn at(self, slot: u8, offset: usize) -> usize {
        self.start + usize::from(slot) * self.bytes + offset
    }

    /// Reads from a slot as much as `buffer` takes.
    pub(super) fn read(
        self,
        memory: &Shared,
        (slot, offset): (u8, usize),
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if memory.read(self.at(slot, offset), buffer) { Ok(()) } else { Err(nonsense()) }
    }

    /// Writes into a slot.
    pub(super) fn write(
        self,
        memory: &Shared,
        (slot, offset): (u8, usize),
        bytes: &[u8],
    ) -> io::Result<()> {
        if memory.write(self.at(slot, offset), bytes) { Ok(()) } else { Err(nonsense()) }
    }

    /// A whole slot to be written in place.
    pub(super) fn place(self, memory: &mut Shared, slot: u8) -> io::Result<&mut [u8]> {
        memory.place(self.at(slot, 0), self.bytes).ok_or_else(nonsense)
    }
}

/// Both ends of a line.
pub(super) fn line() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

/// What is told on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A slot holds this many bytes.
    Full { slot: u8, bytes: usize },
    /// A slot is empty again.
    Emptied { slot: u8 },
    /// No further slot will be full.
    End,
}

/// Bytes of a message.
const MESSAGE: usize = 6;

impl Message {
    fn to_bytes(self) -> [u8; MESSAGE] {
        let (kind, slot, bytes) = match self {
            Self::Full { slot, bytes } => (0, slot, bytes),
            Self::Emptied { slot } => (1, slot, 0),
            Self::End => (2, 0, 0),
        };
        // At most the bytes of a slot.
        let [a, b, c, d] = u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        [kind, slot, a, b, c, d]
    }

    fn of_bytes(bytes: [u8; MESSAGE]) -> Option<Self> {
        let [kind, slot, a, b, c, d] = bytes;
        let bytes = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        match kind {
            0 => Some(Self::Full { slot, bytes }),
            1 => Some(Self::Emptied { slot }),
            2 => Some(Self::End),
            _ => None,
        }
    }
}

/// Tells the other end; false when it is gone.
pub(super) fn tell(line: impl AsFd, message: Message) -> io::Result<bool> {
    let bytes = message.to_bytes();
    let told = rustix::io::retry_on_intr(|| rustix::net::send(&line, &bytes, SendFlags::NOSIGNAL));
    match told {
        Ok(_) => Ok(true),
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What was heard.
pub(super) enum Heard {
    Message(Message),
    /// Nothing yet.
    Nothing,
    /// The other end is gone.
    Gone,
}

/// Listens; with `wait` until something was said.
pub(super) fn hear(line: impl AsFd, wait: bool) -> io::Result<Heard> {
    let mut bytes = [0; MESSAGE];
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let said = loop {
        match rustix::net::recv(&line, &mut bytes, flags) {
            Ok((_, said)) => break said,
            // It went without hearing all; what it said before is still to come. This is told once.
            Err(Errno::CONNRESET) => {}
            Err(Errno::AGAIN) if !wait => return Ok(Heard::Nothing),
            Err(errno) => return Err(errno.into()),
        }
    };
    match said {
        0 => Ok(Heard::Gone),
        MESSAGE => Message::of_bytes(bytes).map(Heard::Message).ok_or_else(nonsense),
        _ => Err(nonsense()),
    }
}

/// Sends the first words on a line, in one packet.
pub(super) fn open(line: impl AsFd, words: &[u8]) -> io::Result<()> {
    let sent = rustix::net::sendmsg(
        line,
        &[IoSlice::new(words)],
        &mut rustix::net::SendAncillaryBuffer::default(),
        SendFlags::NOSIGNAL,
    )?;
    if sent == words.len() { Ok(()) } else { Err(nonsense()) }
}

/// The first words, at most `limit` bytes.
pub(super) fn opened(line: impl AsFd, limit: usize) -> io::Result<Vec<u8>> {
    let mut words = vec![0; limit];
    let (_, said) = rustix::io::retry_on_intr(|| {
        rustix::net::recv(&line, words.as_mut_slice(), RecvFlags::empty())
    })?;
    if said > limit {
        return Err(nonsense());
    }
    words.truncate(said);
    Ok(words)
}

/// The other end does not keep to what both know.
pub(super) fn nonsense() -> io::Error {
    io::Error::other("the process that reads apart says what makes no sense")
}
