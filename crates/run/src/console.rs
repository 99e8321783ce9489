//! Receives the master side of a container's terminal from the runtime.

use crate::ContainerId;
use crate::error::{Doing, Result, RunError};
use crate::place::Place;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// How long the runtime may take to send the terminal once it has created the container.
const LONGEST: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A socket that waits for one terminal.
#[derive(Debug)]
pub(crate) struct Console {
    dir: File,
    listener: UnixListener,
    place: Place,
}

impl Console {
    pub(crate) fn listen(place: &Place) -> Result<Self> {
        place.clear("console.sock")?;
        let listening = || format!("listen in {}", place.dir.display());
        let dir = File::open(&place.dir).doing(listening)?;
        let address = format!("/proc/self/fd/{}/console.sock", dir.as_raw_fd());
        let listener = UnixListener::bind(address).doing(listening)?;
        Ok(Self { dir, listener, place: place.clone() })
    }

    /// A path short enough for a socket's address, good in other processes while this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}/console.sock", std::process::id(), self.dir.as_raw_fd()).into()
    }

    /// The terminal that the runtime has sent.
    pub(crate) fn accept(self, id: &ContainerId) -> Result<OwnedFd> {
        let receiving = || format!("receive the terminal of container {id}");
        let ready = poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&LONGEST)).doing(receiving)?;
        if ready == 0 {
            return Err(RunError::Late { id: id.clone(), verb: "send its terminal" });
        }
        let (stream, _) = self.listener.accept().doing(receiving)?;
        let ready = poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&LONGEST)).doing(receiving)?;
        if ready == 0 {
            return Err(RunError::Late { id: id.clone(), verb: "send its terminal" });
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).doing(receiving)?;
        self.place.clear("console.sock")?;
        let sent = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let nothing = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no descriptor came");
        sent.ok_or_else(nothing).doing(receiving)
    }
}
