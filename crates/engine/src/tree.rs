//! Mounts as descriptors: made detached, changed while nobody sees them, then attached to a descriptor of
//! their place. No path is resolved twice.

use crate::error::{Doing, Error, Result};
use crate::sys::{self, MountAttributes, Reach};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A detached copy of the mount (or the tree of mounts) that is visible at `path`.
pub(crate) fn copy_path(path: &Path, reach: Reach) -> rustix::io::Result<OwnedFd> {
    open_tree(CWD, path, clone_flags(reach))
}

/// A detached copy of the mount at the object behind a descriptor.
pub(crate) fn copy(object: impl AsFd, reach: Reach) -> rustix::io::Result<OwnedFd> {
    open_tree(object, "", clone_flags(reach) | OpenTreeFlags::AT_EMPTY_PATH)
}

fn clone_flags(reach: Reach) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match reach {
        Reach::One => flags,
        Reach::Tree => flags | OpenTreeFlags::AT_RECURSIVE,
    }
}

/// A new file system, detached. `attributes` are bits of `MOUNT_ATTR_*`.
pub(crate) fn new_filesystem(
    kind: &str,
    source: Option<&str>,
    data: &[(String, Option<String>)],
    attributes: u64,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        fsconfig_set_string(context.as_fd(), "source", source)?;
    }
    for (name, value) in data {
        match value {
            Some(value) => fsconfig_set_string(context.as_fd(), name.as_str(), value.as_str())?,
            None => fsconfig_set_flag(context.as_fd(), name.as_str())?,
        }
    }
    fsconfig_create(context.as_fd())?;
    let bits = u32::try_from(attributes).unwrap_or(u32::MAX);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(bits))
}

/// Attaches a detached mount to the object behind `place`.
pub(crate) fn attach(mount: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

/// The most directories between an object and the root of its mount.
const DEPTH: usize = 4096;

/// The root of the mount in which a directory lies.
pub(crate) fn root_of_mount(directory: impl AsFd) -> Result<OwnedFd> {
    let failed = || "look for the root of a mount";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(directory, ".", flags, Mode::empty()).doing(failed)?;
    for _ in 0..DEPTH {
        let found = statx(&here, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).doing(failed)?;
        if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(here);
        }
        here = openat(&here, "..", flags, Mode::empty()).doing(failed)?;
    }
    Err(Error::Unsupported { what: "a root whose mount has no root in sight".to_owned() })
}

/// Changes attributes, when there is something to change.
pub(crate) fn change(
    mount: impl AsFd,
    reach: Reach,
    attributes: MountAttributes,
    what: &str,
) -> Result<()> {
    if attributes == MountAttributes::default() {
        return Ok(());
    }
    sys::mount_setattr(mount, reach, attributes)
        .doing(|| format!("change the mount attributes of {what}"))
}

/// Changes the propagation of a mount.
pub(crate) fn propagate(
    mount: impl AsFd,
    reach: Reach,
    propagation: u64,
    what: &str,
) -> Result<()> {
    change(mount, reach, MountAttributes { propagation, ..MountAttributes::default() }, what)
}

/// Makes a mount, or a tree of them, read-only.
pub(crate) fn read_only(mount: impl AsFd, reach: Reach, what: &str) -> Result<()> {
    let attributes = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    change(mount, reach, attributes, what)
}
