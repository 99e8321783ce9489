//! Where mounts may go: what a target is, not how it is called.
//!
//! A link of the image, or one that a running container puts into a shared volume at the right moment, leads a
//! mount to `/dev`, `/proc`, `/sys` or onto the root. So a target is opened once, what the descriptor stands for
//! is held against what the kernel's directories are, and the mount is attached to that descriptor.

use crate::error::{Doing, Error, Result};
use crate::root::Root;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Component, Path};

/// The directories of the kernel and of the engine.
const KERNEL: [&str; 3] = ["dev", "proc", "sys"];

/// What a descriptor stands for: a file in a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) mount: u64,
    device: (u32, u32),
    inode: u64,
}

impl Identity {
    /// Asks the kernel.
    pub(crate) fn of(object: impl AsFd) -> Result<Identity> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let found = statx(object, "", AtFlags::EMPTY_PATH, wanted)
            .doing(|| "ask what the target of a mount is")?;
        Ok(Identity {
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        })
    }
}

/// Where a mount comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A file system that was made for the container.
    New,
    /// One that the machine has as well.
    Bound,
}

/// What is known of a root while its mounts are made.
#[derive(Debug)]
pub(crate) struct Targets {
    root: Identity,
    /// The mounts at and below the kernel's directories.
    kernel: RefCell<BTreeSet<u64>>,
    /// The file system that the engine made for `/dev`.
    own_dev: Cell<Option<u64>>,
}

impl Targets {
    pub(crate) fn of(root: &Root) -> Result<Targets> {
        let root = Identity::of(root.directory())?;
        Ok(Targets { root, kernel: RefCell::default(), own_dev: Cell::new(None) })
    }

    /// The root itself.
    pub(crate) fn root(&self) -> Identity {
        self.root
    }

    /// Whether a directory lies in the file system that the engine made for `/dev`.
    pub(crate) fn is_own_dev(&self, directory: Identity) -> bool {
        self.own_dev.get() == Some(directory.mount)
    }

    /// Refuses a place that is the root, or lies in one of the kernel's directories while `destination` names
    /// none of them.
    pub(crate) fn check(&self, destination: &Path, place: impl AsFd, root: &Root) -> Result<()> {
        let found = Identity::of(place)?;
        let refused = |what: &str| {
            Err(Error::Unsupported {
                what: format!("a mount on {}, which leads to {what}", destination.display()),
            })
        };
        if found == self.root {
            return refused("the root");
        }
        if kernels(destination).is_some() {
            return Ok(());
        }
        if self.kernel.borrow().contains(&found.mount) {
            return refused("what the kernel and the engine have below /dev, /proc and /sys");
        }
        // Where nothing is mounted on them yet, or at all.
        for name in KERNEL {
            if root
                .look(Path::new(name))
                .is_some_and(|there| Identity::of(there).is_ok_and(|there| there == found))
            {
                return refused(&format!("/{name}"));
            }
        }
        Ok(())
    }

    /// Remembers a mount that was attached to a place.
    pub(crate) fn attached(
        &self,
        destination: &Path,
        made: impl AsFd,
        nature: Nature,
    ) -> Result<()> {
        if kernels(destination).is_none() {
            return Ok(());
        }
        let made = Identity::of(made)?.mount;
        self.kernel.borrow_mut().insert(made);
        if is_dev(destination) {
            self.own_dev.set((nature == Nature::New).then_some(made));
        }
        Ok(())
    }
}

/// The kernel's directory that a path names by its first word, `.` and `..` resolved as words.
fn kernels(path: &Path) -> Option<&'static str> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let first = names.first()?;
    KERNEL.into_iter().find(|name| first == name)
}

/// Whether a path is `/dev` itself.
pub(crate) fn is_dev(path: &Path) -> bool {
    path.components().eq(Path::new("/dev").components())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_directory_of_the_kernel_by_its_first_word() {
        for (path, wanted) in [
            ("/dev", Some("dev")),
            ("/dev/shm", Some("dev")),
            ("proc/./sys", Some("proc")),
            ("/data/../sys/fs", Some("sys")),
            ("/sys/../data", None),
            ("/device", None),
            ("/data/dev", None),
            ("/", None),
        ] {
            assert_eq!(kernels(Path::new(path)), wanted, "{path}");
        }
        assert!(is_dev(Path::new("/dev/")));
        assert!(!is_dev(Path::new("/dev/shm")));
    }
}
