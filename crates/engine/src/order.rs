//! What a caller and its stages say to each other: one order in a sealed memory file, and small messages
//! over a socket pair.
//!
//! ```text
//! caller ── spawn ──► outer stage ── new namespaces, fork, exec ──► inner stage (pid 1) ── exec ──► program
//!    ◄─ Map ───────────── │                                             │
//!    ── Go ─────────────► │                                             │
//!    ◄─ Forked(pid) ───── ┘                                             │
//!    ◄─ Here ────────────────────────────────────────────────────────── │
//!    ── Go ───────────────────────────────────────────────────────────► │
//!    ◄─ Hooks ───────────────────────────────────────────────────────── │
//!    ── Go ───────────────────────────────────────────────────────────► │
//!    ◄─ Ready, or Failed ────────────────────────────────────────────── │
//!    ── Go, the state is written ─────────────────────────────────────► ┘
//! ```
//!
//! The pid comes twice, since either side of the fork may be killed before its word: from the outer stage as
//! a number, and from the inner one as the kernel's own note of who sent the message. That note is also what
//! every further word is held against: only the stages are heard.
//!
//! Into a pid namespace where others are already, a process goes last of all, as a child of the inner stage
//! (see `late`), which then leads: it tells that child's pid and what came of it.
//!
//! ```text
//! inner stage ── rights dropped, fork ──► child in the pid namespace ── exec ──► program
//!    Forked(pid) ─► caller ── Go ─► inner stage ── one byte ─► child; what failed comes back the same way
//! ```

use crate::error::{Doing, Error, Result};
use oci_spec::runtime::{Process, Spec};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// The most bytes of one message.
pub(crate) const MESSAGE_LIMIT: usize = 16 << 10;
/// The most bytes of an order.
const ORDER_LIMIT: u64 = 16 << 20;

/// All that the stages need to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) spec: Spec,
    /// How many descriptors from 3 on belong to the program.
    pub(crate) preserve: i32,
    /// A connected socket that takes the master of the terminal.
    pub(crate) console: Option<RawFd>,
    pub(crate) entrance: Entrance,
    pub(crate) task: Task,
}

/// The way into the control groups: a process that goes by itself, or is born there, waits for nobody, while to
/// move one the kernel halts all others for a while.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entrance {
    /// The group of version 2.
    pub(crate) unified: Option<RawFd>,
    /// The files of version 1 that take threads.
    pub(crate) threads: Vec<RawFd>,
    /// Whether there is a group which the caller alone can put a process into.
    pub(crate) closed: bool,
}

/// What the process shall become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// The first process of a new container, which waits on `start` for a connection.
    Create { start: RawFd, no_pivot: bool },
    /// One more process of the container whose first process is behind `pidfd`.
    Enter { pidfd: RawFd, process: Box<Process> },
}

/// One word between caller and stages.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The outer stage is in its new user namespace and wants its ids.
    Map,
    /// Go on.
    Go,
    /// The inner stage has this pid, in the numbering of the caller.
    Forked(i32),
    /// The inner stage runs. `placed` when it is in its control groups already.
    Here { placed: bool },
    /// The namespaces and mounts stand: time for the hooks of the runtime's namespace.
    Hooks,
    /// All is prepared.
    Ready,
    /// It failed.
    Failed(Failure),
}

/// An error on its way to the caller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    NotFound(String),
    NotExecutable(String, String),
    Unsupported(String),
    Other(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::NotFound { program } => Failure::NotFound(program),
            Error::NotExecutable { program, reason } => Failure::NotExecutable(program, reason),
            Error::Unsupported { what } => Failure::Unsupported(what),
            other => Failure::Other(other.to_string().chars().take(MESSAGE_LIMIT / 8).collect()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::NotFound(program) => Error::NotFound { program },
            Failure::NotExecutable(program, reason) => Error::NotExecutable { program, reason },
            Failure::Unsupported(what) => Error::Unsupported { what },
            Failure::Other(text) => Error::Stage { text },
        }
    }
}

/// One end of the socket pair.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Both ends of a new pair. The first one learns who sends.
    pub(crate) fn pair() -> Result<(Channel, Channel)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing(|| "make a socket pair")?;
        rustix::net::sockopt::set_socket_passcred(&one, true)
            .doing(|| "ask for the senders of messages")?;
        Ok((Channel { socket: one }, Channel { socket: other }))
    }

    /// Takes a socket that was passed as a descriptor, or accepted.
    pub(crate) fn from_socket(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    /// The socket.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Says one word.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        let bytes = serde_json::to_vec(message)
            .map_err(std::io::Error::from)
            .doing(|| "write a message")?;
        // By the plain calls, which a filter of system calls hardly ever denies. A stage ignores SIGPIPE.
        rustix::io::retry_on_intr(|| rustix::io::write(&self.socket, &bytes))
            .doing(|| "send a message")
            .map(drop)
    }

    /// Hears one word; `None` when the other side is gone.
    pub(crate) fn receive(&self) -> Result<Option<Message>> {
        let mut buffer = vec![0_u8; MESSAGE_LIMIT];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut buffer))
            .doing(|| "receive a message")?;
        buffer.get(..read).filter(|bytes| !bytes.is_empty()).map(parse).transpose()
    }

    /// Hears one word, and from which process, in the numbering of this one. For a channel of [`Channel::pair`]'s
    /// first end.
    pub(crate) fn receive_from(&self) -> Result<Option<(Message, Option<i32>)>> {
        self.hear(RecvFlags::empty())
    }

    /// Takes what was said and not heard: a socket that is closed with it is an error to the other side.
    pub(crate) fn drain(&self) {
        while let Ok(Some(_)) = self.hear(RecvFlags::DONTWAIT) {}
    }

    fn hear(&self, flags: RecvFlags) -> Result<Option<(Message, Option<i32>)>> {
        let mut buffer = vec![0_u8; MESSAGE_LIMIT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            rustix::net::recvmsg(&self.socket, &mut parts, &mut control, flags)
        })
        .doing(|| "receive a message")?;
        let sender = control.drain().find_map(|note| match note {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_pid()),
            _ => None,
        });
        match buffer.get(..received.bytes) {
            None | Some([]) => Ok(None),
            Some(bytes) => parse(bytes).map(|message| Some((message, sender))),
        }
    }

    /// Waits for `Go`.
    pub(crate) fn expect_go(&self) -> Result<()> {
        match self.receive()? {
            Some(Message::Go) => Ok(()),
            other => {
                Err(Error::Stage { text: format!("the caller said {other:?} in place of Go") })
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Message> {
    serde_json::from_slice(bytes).map_err(std::io::Error::from).doing(|| "read a message")
}

impl AsFd for Channel {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Puts the order into a memory file that nobody can change.
pub(crate) fn write_order(order: &Order) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("order", flags).doing(|| "make a memory file")?;
    let mut file = std::fs::File::from(file);
    let bytes =
        serde_json::to_vec(order).map_err(std::io::Error::from).doing(|| "write the order")?;
    file.write_all(&bytes).doing(|| "write the order")?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).doing(|| "seal the order")?;
    Ok(file.into())
}

/// Reads the order from its memory file.
pub(crate) fn read_order(file: OwnedFd) -> Result<Order> {
    let mut file = std::fs::File::from(file);
    file.rewind().doing(|| "read the order")?;
    let mut bytes = Vec::new();
    file.take(ORDER_LIMIT).read_to_end(&mut bytes).doing(|| "read the order")?;
    serde_json::from_slice(&bytes).map_err(std::io::Error::from).doing(|| "read the order")
}
