//! The directories that entries go into: found, made where no entry stands for them, kept open for
//! the next entry.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;

use crate::apply::entries::{Applying, Fault, Mine, fault};
use crate::apply::root::DIRECTORY;
use crate::{LayerRule, Mtime, TreePath};

/// Mode of a directory while it is filled.
pub(super) const OPEN_MODE: Mode = Mode::RWXU;

/// Directories kept open; archives mostly go through a tree in order.
const KEPT: usize = 32;

/// What a directory gets when everything is in it.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) mode: u32,
    pub(super) mtime: Mtime,
}

impl Pending {
    /// Of a directory that no entry stands for, as [`crate::Merged`] has it.
    pub(super) const IMPLIED: Self = Self { mode: 0o755, mtime: Mtime { seconds: 0, nanos: 0 } };
}

/// The directories used last, the latest at the end.
#[derive(Default)]
pub(super) struct Kept(Vec<(TreePath, Rc<OwnedFd>)>);

impl Kept {
    fn find(&mut self, path: &TreePath) -> Option<Rc<OwnedFd>> {
        let at = self.0.iter().rposition(|(kept, _)| kept == path)?;
        if let Some(used) = self.0.get_mut(at..) {
            used.rotate_left(1);
        }
        self.0.last().map(|(_, fd)| Rc::clone(fd))
    }

    fn keep(&mut self, path: &TreePath, fd: &Rc<OwnedFd>) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push((path.clone(), Rc::clone(fd)));
    }

    /// Closes what is at or below a path that is no more.
    pub(super) fn forget(&mut self, path: &TreePath) {
        self.0.retain(|(kept, _)| kept != path && !kept.is_below(path));
    }
}

impl Applying<'_> {
    /// The directory at `path`, made with what is above it where it is missing. What a lower layer
    /// has there gives way.
    pub(super) fn directory(&mut self, path: &TreePath) -> Result<Rc<OwnedFd>, Fault> {
        if let Some(fd) = self.existing(path)? {
            return Ok(fd);
        }
        let Some((above, name)) = path.split() else {
            return Err(fault(path, "open", Errno::NOENT));
        };
        if self.mine(path) == Some(Mine::Leaf) {
            return Err(LayerRule::BelowNonDirectory.into());
        }
        let parent = self.directory(&above)?;
        self.vacate(&parent, name, path)?;
        rustix::fs::mkdirat(&*parent, name, OPEN_MODE)
            .map_err(|errno| fault(path, "creation", errno))?;
        self.count(path, Mine::Implied)?;
        self.pending.insert(path.clone(), Pending::IMPLIED);
        let fd = self.open_kept(&parent, name, path)?;
        self.set_implied(&fd, path)?;
        Ok(fd)
    }

    /// The directory at `path`, if there is one.
    pub(super) fn existing(&mut self, path: &TreePath) -> Result<Option<Rc<OwnedFd>>, Fault> {
        if let Some(fd) = self.kept.find(path) {
            return Ok(Some(fd));
        }
        let fd = match self.root.directory(path) {
            Ok(fd) => Rc::new(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::ACCESS) => return self.closed(path).map(Some),
            Err(errno) => return Err(fault(path, "open", errno)),
        };
        self.touch(&fd, path)?;
        self.kept.keep(path, &fd);
        Ok(Some(fd))
    }

    /// A directory of an earlier layer that its owner may not enter: opened to be filled, and
    /// closed again in the end.
    fn closed(&mut self, path: &TreePath) -> Result<Rc<OwnedFd>, Fault> {
        let denied = || fault(path, "open", Errno::ACCESS);
        let (above, name) = path.split().ok_or_else(denied)?;
        let parent = self.existing(&above)?.ok_or_else(denied)?;
        let stat = rustix::fs::statat(&*parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| fault(path, "stat", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(denied());
        }
        self.pending.entry(path.clone()).or_insert(pending_of(&stat));
        let flags = DIRECTORY | rustix::fs::OFlags::PATH;
        let fd = rustix::fs::openat(&*parent, name, flags, Mode::empty())
            .map_err(|errno| fault(path, "open", errno))?;
        // The kernel changes the mode of a bare handle only through this name of it.
        let handle = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::chmodat(CWD, handle, OPEN_MODE, AtFlags::empty())
            .map_err(|errno| fault(path, "change of mode", errno))?;
        self.open_kept(&parent, name, path)
    }

    /// Opens a directory by its name in its parent.
    pub(super) fn open_kept(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &TreePath,
    ) -> Result<Rc<OwnedFd>, Fault> {
        let fd = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
            .map_err(|errno| fault(path, "open", errno))?;
        let fd = Rc::new(fd);
        self.touch(&fd, path)?;
        self.kept.keep(path, &fd);
        Ok(fd)
    }

    /// Notes the metadata that a directory has before something in it changes.
    fn touch(&mut self, fd: &OwnedFd, path: &TreePath) -> Result<(), Fault> {
        if !self.pending.contains_key(path) {
            let stat = rustix::fs::fstat(fd).map_err(|errno| fault(path, "stat", errno))?;
            self.pending.insert(path.clone(), pending_of(&stat));
        }
        Ok(())
    }
}

fn pending_of(stat: &rustix::fs::Stat) -> Pending {
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Pending { mode: stat.st_mode & 0o7777, mtime: Mtime { seconds: stat.st_mtime, nanos } }
}
