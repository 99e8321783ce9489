//! The directory that layers are applied to, and the way into what is below it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{LayerError, TreePath};

/// How directories are opened on the way: no link is ever followed.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often a lookup is repeated that a rename elsewhere disturbed.
const TRIES: usize = 8;

/// A directory, opened once. Everything below it is reached from this descriptor, so it does not
/// matter what later becomes of the path.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// Set where the kernel or a sandbox denies openat2.
    stepwise: AtomicBool,
}

impl Root {
    /// Opens an existing directory; `path` itself may be a symbolic link, it is the caller's word.
    pub fn open(path: &Path) -> Result<Self, LayerError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            LayerError::File { path: path.to_owned(), action: "open", source: errno.into() }
        })?;
        Ok(Self::from_fd(fd))
    }

    /// The directory behind a descriptor that is open for reading.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, stepwise: AtomicBool::new(false) }
    }

    /// Walks step by step even where openat2 works: for sandboxes that answer it wrongly.
    pub fn without_openat2(self) -> Self {
        self.stepwise.store(true, Ordering::Relaxed);
        self
    }

    /// Opens a directory below the root, through directories only.
    pub(super) fn directory(&self, path: &TreePath) -> Result<OwnedFd, Errno> {
        if path.is_root() {
            return rustix::fs::openat(&self.fd, ".", DIRECTORY, Mode::empty());
        }
        if self.stepwise.load(Ordering::Relaxed) {
            return self.walk(path);
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            let name = path.as_bytes();
            match rustix::fs::openat2(&self.fd, name, DIRECTORY, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                // Kernels and sandboxes without openat2: the same, one step at a time.
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.stepwise.store(true, Ordering::Relaxed);
                    break;
                }
                other => return other,
            }
        }
        self.walk(path)
    }

    fn walk(&self, path: &TreePath) -> Result<OwnedFd, Errno> {
        let mut at = rustix::fs::openat(&self.fd, ".", DIRECTORY, Mode::empty())?;
        for name in path.components() {
            at = rustix::fs::openat(&at, name, DIRECTORY, Mode::empty())?;
        }
        Ok(at)
    }
}
