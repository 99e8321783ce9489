//! Receives the master side of a container's terminal from the runtime.

use crate::ContainerId;
use crate::error::{Doing, Result, RunError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// How long the runtime may take to send the terminal once it has created the container.
const LONGEST: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A socket that waits for one terminal; its name goes away with it.
#[derive(Debug)]
pub(crate) struct Console {
    directory: File,
    name: String,
    listener: UnixListener,
}

impl Console {
    /// Listens in a directory that nobody else can reach into.
    pub(crate) fn listen(directory: &Path, id: &ContainerId) -> Result<Self> {
        let listening = || format!("listen in {}", directory.display());
        let name = format!("console-{}-{}", id.short(), ContainerId::random()?.short());
        crate::place::make_directories(directory).doing(listening)?;
        let directory = File::open(directory).doing(listening)?;
        // The address of a socket has 108 bytes; a path through the descriptor is always short enough.
        let address = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        let listener = crate::socket::listen_at(Path::new(&address)).doing(listening)?;
        Ok(Self { directory, name, listener })
    }

    /// A path short enough for a socket's address, good in other processes while this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        let (pid, descriptor) = (std::process::id(), self.directory.as_raw_fd());
        format!("/proc/{pid}/fd/{descriptor}/{}", self.name).into()
    }

    /// The terminal that the runtime has sent.
    pub(crate) fn accept(self, id: &ContainerId) -> Result<OwnedFd> {
        let receiving = || format!("receive the terminal of container {id}");
        let arrived = |from: &dyn AsFd| -> Result<()> {
            let mut from = [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)];
            match rustix::io::retry_on_intr(|| poll(&mut from, Some(&LONGEST))).doing(receiving)? {
                0 => Err(RunError::Late { id: id.clone(), verb: "send its terminal" }),
                _ => Ok(()),
            }
        };
        arrived(&self.listener)?;
        let (stream, _) = self.listener.accept().doing(receiving)?;
        arrived(&stream)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).doing(receiving)?;
        let sent = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let nothing = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no descriptor came");
        sent.ok_or_else(nothing).doing(receiving)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let flags = rustix::fs::AtFlags::empty();
        // One that is gone already needs no removal.
        let _ = rustix::fs::unlinkat(&self.directory, self.name.as_str(), flags);
    }
}
