//! The terminal of a container's process: made inside, its master sent out (the protocol of the field: one
//! descriptor over the console socket).

use crate::error::{Doing, Error, Result};
use crate::root::{Links, Root};
use oci_spec::runtime::Process;
use rustix::fs::OFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Makes a terminal in the container's devpts, sends its master through `console`, and returns the slave.
pub(crate) fn make(root: &Root, process: &Process, console: &OwnedFd) -> Result<OwnedFd> {
    let master = root
        .open(Path::new("/dev/pts/ptmx"), OFlags::RDWR | OFlags::NOCTTY, Links::Refuse)
        .or_else(|_| {
            root.open(Path::new("/dev/pts/ptmx"), OFlags::RDWR | OFlags::NOCTTY, Links::Follow)
        })
        .doing(|| "open /dev/pts/ptmx of the container")?;
    let found = rustix::fs::fstatfs(&master).doing(|| "ask what /dev/pts is")?;
    if found.f_type != DEVPTS_MAGIC {
        return Err(Error::Unsupported {
            what: "a terminal without devpts on /dev/pts".to_owned(),
        });
    }
    rustix::pty::unlockpt(&master).doing(|| "unlock the terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).doing(|| "open the terminal")?;
    if let Some(size) = process.console_size() {
        let bounded = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: bounded(size.height()),
            ws_col: bounded(size.width()),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size).doing(|| "set the size of the terminal")?;
    }
    let owner = rustix::fs::Uid::from_raw(process.user().uid());
    rustix::fs::fchown(&slave, Some(owner), None).doing(|| "give the terminal its owner")?;
    send(console, &master)?;
    Ok(slave)
}

fn send(console: &OwnedFd, master: &OwnedFd) -> Result<()> {
    let descriptors = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let name = [IoSlice::new(b"/dev/ptmx")];
    rustix::net::sendmsg(console, &name, &mut control, SendFlags::NOSIGNAL)
        .doing(|| "send the terminal over the console socket")
        .map(drop)
}

/// Makes `slave` the three standard streams of this process.
pub(crate) fn wire(slave: &OwnedFd) -> Result<()> {
    rustix::stdio::dup2_stdin(slave).doing(|| "put the terminal on standard input")?;
    rustix::stdio::dup2_stdout(slave).doing(|| "put the terminal on standard output")?;
    rustix::stdio::dup2_stderr(slave).doing(|| "put the terminal on standard error")
}

/// Makes the terminal on standard input the controlling one of the session that this process leads.
pub(crate) fn take_control() -> Result<()> {
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
        .doing(|| "take the terminal as the controlling one")
}
