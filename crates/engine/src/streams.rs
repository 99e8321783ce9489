//! The three standard streams of a container's process: nothing on them is an object of the machine that the
//! container could change.

use crate::error::{Doing, Error, Result};
use crate::own::{self, NodeKind};
use crate::root::{Links, Root};
use crate::sys;
use oci_spec::runtime::Process;
use rustix::fs::{FileType, OFlags, Uid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// `PIPEFS_MAGIC` of linux/magic.h: the pipes that have no name.
const PIPES: i64 = 0x5049_5045;

/// Puts the container's own null device in the place of the machine's: by whoever holds the machine's, its mode
/// and its owner can be changed for all.
pub(crate) fn replace_null(root: &Root) -> Result<()> {
    let mut null: Option<OwnedFd> = None;
    for number in 0..3 {
        if !is_null(sys::borrow(number)) {
            continue;
        }
        let own = match null.take() {
            Some(own) => own,
            None => own_null(root)?,
        };
        let put = match number {
            0 => rustix::stdio::dup2_stdin(&own),
            1 => rustix::stdio::dup2_stdout(&own),
            _ => rustix::stdio::dup2_stderr(&own),
        };
        put.doing(|| format!("put the container's null device on stream {number}"))?;
        null = Some(own);
    }
    Ok(())
}

fn is_null(stream: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(stream).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && found.st_rdev == NodeKind::null().number
    })
}

/// The container's null device, or a new one where it has none that is one.
fn own_null(root: &Root) -> Result<OwnedFd> {
    // Without waiting, should something else be there by now.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    if let Ok(found) = root.open(Path::new("/dev/null"), flags, Links::Refuse)
        && is_null(found.as_fd())
    {
        rustix::io::ioctl_fionbio(&found, false).doing(|| "open the null device")?;
        return Ok(found);
    }
    own::open_null()?.ok_or_else(|| Error::Unsupported {
        what: "the null device on a standard stream of a container that has none".to_owned(),
    })
}

/// Gives pipes on the standard streams to the user of the process, who may want to open them again by
/// `/dev/stdout`. Only those that have no name: nothing that the machine can find by a path is given away.
pub(crate) fn own_pipes(process: &Process) {
    let owner = Uid::from_raw(process.user().uid());
    for number in 0..3 {
        let stream = sys::borrow(number);
        let Ok(found) = rustix::fs::fstat(stream) else { continue };
        let nameless = rustix::fs::fstatfs(stream).is_ok_and(|place| place.f_type == PIPES);
        if nameless && found.st_uid != owner.as_raw() {
            // Nothing is lost where it is not allowed.
            let _ = rustix::fs::fchown(stream, Some(owner), None);
        }
    }
}
