//! A file system of the engine's own, below the root's mount: what covers files and the device nodes of a
//! container are made in. Nothing of the machine is handed over for them, and nothing of the image's is
//! changed; it is let go of with the old root.

use crate::error::{Doing, Result};
use crate::sys::Reach;
use crate::tree;
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// The name of the file that covers others.
const EMPTY: &str = "empty";
/// The name of the null device.
const NULL: &str = "null";
/// The most inodes, should a configuration ask for nodes without end.
const INODES: &str = "65536";

/// The file system.
#[derive(Debug)]
pub(crate) struct Own {
    mount: OwnedFd,
    nodes: std::cell::Cell<u32>,
}

/// A node to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeKind {
    pub(crate) kind: FileType,
    pub(crate) number: u64,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

impl NodeKind {
    /// A character device that every container has.
    pub(crate) fn of_everybody(major: u32, minor: u32) -> NodeKind {
        NodeKind {
            kind: FileType::CharacterDevice,
            number: rustix::fs::makedev(major, minor),
            mode: 0o666,
            owner: (0, 0),
        }
    }

    /// The null device.
    pub(crate) fn null() -> NodeKind {
        NodeKind::of_everybody(1, 3)
    }
}

impl Own {
    /// Mounts it on `place`, where the root's mount will cover it.
    pub(crate) fn attach(place: impl AsFd) -> Result<Own> {
        let own = Own::detached()?;
        tree::attach(&own.mount, place).doing(|| "mount the engine's own file system")?;
        Ok(own)
    }

    fn detached() -> Result<Own> {
        let data = [("mode", "0700"), ("nr_inodes", INODES), ("size", "1m")];
        let data = data.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        let mount = tree::new_filesystem("tmpfs", Some("tmpfs"), &data, 0)
            .doing(|| "make a file system of the engine's own")?;
        Ok(Own { mount, nodes: std::cell::Cell::new(0) })
    }

    /// A detached mount of an empty file, which nobody can change: not its mode, not its owner.
    pub(crate) fn empty_file(&self) -> Result<OwnedFd> {
        let failed = || "make a cover for a file";
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.mount, EMPTY, flags, Mode::from_raw_mode(0o444));
        let cover = file.and_then(|file| tree::copy(file, Reach::One)).doing(failed)?;
        tree::read_only(&cover, Reach::One, "the cover of a file")?;
        Ok(cover)
    }

    /// A detached mount of a new device node. `EPERM` where this user namespace may not make it.
    pub(crate) fn node(&self, wanted: &NodeKind) -> rustix::io::Result<OwnedFd> {
        let number = self.nodes.get();
        self.nodes.set(number.saturating_add(1));
        let name = format!("node{number}");
        make_node(&self.mount, &name, wanted)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(&self.mount, &name, flags, Mode::empty())?;
        // tmpfs lets nobody open a node on a mount without devices, which this one is not.
        tree::copy(node, Reach::One)
    }
}

/// Makes a node with its mode and owner, whatever the umask.
pub(crate) fn make_node(
    parent: impl AsFd,
    name: impl rustix::path::Arg + Copy,
    wanted: &NodeKind,
) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(wanted.mode);
    rustix::fs::mknodat(&parent, name, wanted.kind, mode, wanted.number)?;
    let (uid, gid) = (Uid::from_raw(wanted.owner.0), Gid::from_raw(wanted.owner.1));
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(&parent, name, Some(uid), Some(gid), flags)
}

/// A null device that nobody else has, opened for both directions. `None` where nodes cannot be made.
pub(crate) fn open_null() -> Result<Option<OwnedFd>> {
    let own = Own::detached()?;
    match make_node(&own.mount, NULL, &NodeKind::null()) {
        Err(Errno::PERM) => return Ok(None),
        other => other.doing(|| "make a null device")?,
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(&own.mount, NULL, flags, Mode::empty())
        .doing(|| "open a null device")
        .map(Some)
}
