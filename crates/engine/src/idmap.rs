//! Mounts whose ids are others than those on the disk (mount_setattr(2), "ID-mapped mounts"; runtime-spec, config,
//! `mounts[].uidMappings`).
//!
//! The kernel takes the mapping from a user namespace: one is made with a child that does nothing else and ends when
//! the namespace is held.

use crate::error::{Doing, Error, Result};
use crate::options::Options;
use crate::procfs::Procfs;
use crate::sys::{self, MountAttributes, Reach};
use crate::{namespaces, spawn, tree};
use oci_spec::runtime::{Linux, LinuxIdMapping, Mount};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Whether a mount asks for other ids.
pub(crate) fn is_wanted(mount: &Mount, options: &Options) -> bool {
    let is_there = |mappings: &Option<Vec<LinuxIdMapping>>| {
        mappings.as_ref().is_some_and(|mappings| !mappings.is_empty())
    };
    options.idmap.is_some() || is_there(mount.uid_mappings()) || is_there(mount.gid_mappings())
}

/// Gives the detached mount `made` the ids that its entry asks for, or without a mapping of its own those of the
/// container's user namespace. For who has the rights over the file system, before the mount is attached.
pub(crate) fn apply(made: &OwnedFd, mount: &Mount, options: &Options, linux: &Linux) -> Result<()> {
    let shown = mount.destination().display();
    let own =
        |mappings: &Option<Vec<LinuxIdMapping>>| mappings.clone().filter(|all| !all.is_empty());
    let (uids, gids) = match (own(mount.uid_mappings()), own(mount.gid_mappings())) {
        (None, None) => (own(linux.uid_mappings()), own(linux.gid_mappings())),
        mapped => mapped,
    };
    let (Some(uids), Some(gids)) = (uids, gids) else {
        let what = format!("an id-mapped mount at {shown} without mappings of users and groups");
        return Err(Error::Unsupported { what });
    };
    let namespace = namespace(&uids, &gids)?;
    let number = namespace.as_raw_fd().unsigned_abs();
    let attributes = MountAttributes {
        set: libc::MOUNT_ATTR_IDMAP,
        user_namespace: u64::from(number),
        ..MountAttributes::default()
    };
    let reach = options.idmap.unwrap_or(Reach::One);
    tree::change(made, reach, attributes, &format!("{shown}, whose ids are to be mapped"))
}

/// A user namespace with these mappings.
fn namespace(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<OwnedFd> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe");
    let ((told, tell), (end, hold)) = (pipe()?, pipe()?);
    let Some(child) = sys::fork().doing(|| "fork a user namespace")? else {
        drop((told, hold));
        sys::end_at_once(if stand(tell, end).is_ok() { 0 } else { 1 });
    };
    drop((tell, end));
    let made = mapped(told, uids, gids);
    drop(hold);
    spawn::end(child);
    made
}

/// The child: makes the namespace, tells its number in the proc that is mounted, and waits until it is not needed.
fn stand(tell: OwnedFd, end: OwnedFd) -> Result<()> {
    sys::unshare(libc::CLONE_NEWUSER).doing(|| "make a user namespace")?;
    let stat = Procfs::of_machine()?.read("self/stat")?;
    let number = stat.split(' ').next().unwrap_or_default();
    File::from(tell).write_all(number.as_bytes()).doing(|| "tell of the user namespace")?;
    let mut nothing = [0; 1];
    // It ends with the one who holds the other side.
    File::from(end).read(&mut nothing).doing(|| "wait").map(drop)
}

fn mapped(told: OwnedFd, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<OwnedFd> {
    let mut number = String::new();
    File::from(told).take(16).read_to_string(&mut number).doing(|| "hear of the user namespace")?;
    let pid: i32 = number.parse().map_err(|_| Error::Stage {
        text: "no user namespace could be made for the ids of a mount".to_owned(),
    })?;
    namespaces::map(pid, uids, gids)?;
    let path = format!("/proc/{pid}/ns/user");
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| "hold the user namespace of a mount's ids")
}
