//! The content of one directory copied into another one, by descriptors alone: no symbolic link is followed, and
//! nothing lies anywhere else meanwhile.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod,
    fchown, fsetxattr, fstat, futimens, linkat, mkdirat, mkfifoat, openat, readlinkat, statat,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::audit::is_overlay_xattr;
use crate::seen::read_attributes;
use crate::{CopyBounds, EntryPosition, LayerError, Limits, TreePath, copy_file};

/// Whom the files of a copy belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOwners {
    /// The owners of the files that are copied.
    Keep,
    /// The caller, who may give nothing away.
    Caller,
}

/// How a tree is copied.
pub struct CopyTree<'a> {
    /// Bounds on entries, depth, and on the bytes that are really written (`unpacked`).
    pub limits: Limits,
    /// Whom the files belong to.
    pub owners: CopyOwners,
    /// Asked at every file, and at every mebibyte of one.
    pub is_unwanted: &'a dyn Fn() -> bool,
}

/// What was copied, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopiedTree {
    /// Files, directories, links and pipes.
    pub entries: u64,
    /// Bytes written, holes not counted.
    pub written: u64,
    /// Devices and sockets, which are left out: a copy is to be written by others than the original.
    pub skipped: u64,
}

/// Copies what is in `from` into the empty directory `to`, which gets the metadata of `from`: owners, modes, times,
/// attributes, hard links, holes.
///
/// # Errors
/// Where a file cannot be read or written, [`LayerError::Limit`] where there is more than may be, and where the copy
/// is not wanted any more. What was copied until then stays.
pub fn copy_tree(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    how: &CopyTree<'_>,
) -> Result<CopiedTree, LayerError> {
    let bounds = CopyBounds { room: how.limits.unpacked, is_unwanted: how.is_unwanted };
    let own = |fd: BorrowedFd<'_>| {
        let path = std::path::PathBuf::new();
        fd.try_clone_to_owned().map_err(|source| LayerError::File {
            path,
            action: "opening",
            source,
        })
    };
    let (root, names, copied) = (own(to)?, HashMap::new(), CopiedTree::default());
    let mut copying = Copying { how, bounds, root, names, copied };
    let mut levels = vec![copying.level((own(from)?, own(to)?), TreePath::root())?];
    // A stack of its own: the depth of a tree is bounded by a limit, not by the stack.
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.next()? else {
            levels.pop().map_or(Ok(()), |done| copying.finish_directory(&done))?;
            continue;
        };
        if let Some(inner) = copying.entry(level, &name)? {
            levels.push(inner);
        }
    }
    Ok(copying.copied)
}

struct Copying<'a> {
    how: &'a CopyTree<'a>,
    bounds: CopyBounds<'a>,
    root: OwnedFd,
    /// Where files with several names are in the copy, by device and inode.
    names: HashMap<(u64, u64), TreePath>,
    copied: CopiedTree,
}

/// A directory on the way down, in both trees.
struct Level {
    list: Dir,
    from: OwnedFd,
    to: OwnedFd,
    path: TreePath,
}

impl Level {
    fn next(&mut self) -> Result<Option<CString>, LayerError> {
        loop {
            match self.list.next() {
                None => return Ok(None),
                Some(Err(errno)) => return Err(failed(&self.path, "listing")(errno)),
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(Ok(entry)) => return Ok(Some(entry.file_name().to_owned())),
            }
        }
    }
}

fn failed(path: &TreePath, action: &'static str) -> impl Fn(Errno) -> LayerError {
    let path = path.to_path_buf();
    move |errno| LayerError::File { path: path.clone(), action, source: errno.into() }
}

impl Copying<'_> {
    fn level(&self, (from, to): (OwnedFd, OwnedFd), path: TreePath) -> Result<Level, LayerError> {
        let list = Dir::read_from(&from).map_err(failed(&path, "listing"))?;
        Ok(Level { list, from, to, path })
    }

    /// Copies what has a name in a directory; a directory is still to be gone into.
    fn entry(&mut self, level: &Level, name: &CStr) -> Result<Option<Level>, LayerError> {
        let path = level.path.join(name.to_bytes());
        self.count(&path)?;
        let stat = statat(&level.from, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed(&path, "reading metadata"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(&level.to, name, Mode::RWXU).map_err(failed(&path, "creation"))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = |at: &OwnedFd| {
                    openat(at, name, flags, Mode::empty()).map_err(failed(&path, "opening"))
                };
                return self.level((open(&level.from)?, open(&level.to)?), path).map(Some);
            }
            FileType::RegularFile => self.file(level, name, (&stat, &path))?,
            FileType::Symlink => {
                let target = readlinkat(&level.from, name, Vec::new());
                let target = target.map_err(failed(&path, "reading"))?;
                symlinkat(target.as_c_str(), &level.to, name).map_err(failed(&path, "creation"))?;
                self.own_named(level, name, (&stat, &path))?;
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
                mkfifoat(&level.to, name, mode).map_err(failed(&path, "creation"))?;
                self.own_named(level, name, (&stat, &path))?;
            }
            _ => {
                self.copied.entries -= 1;
                self.copied.skipped += 1;
            }
        }
        Ok(None)
    }

    fn count(&mut self, path: &TreePath) -> Result<(), LayerError> {
        self.copied.entries += 1;
        let depth = path.components().count() as u64;
        let (limits, seen) = (&self.how.limits, self.copied.entries + self.copied.skipped);
        for (what, value, limit) in
            [("entries", seen, limits.entries), ("depth", depth, limits.depth)]
        {
            if value > limit {
                return Err(limit_of(path, what, limit));
            }
        }
        if (self.how.is_unwanted)() {
            return Err(failed(path, "copying")(Errno::INTR));
        }
        Ok(())
    }

    fn file(
        &mut self,
        level: &Level,
        name: &CStr,
        (stat, path): (&Stat, &TreePath),
    ) -> Result<(), LayerError> {
        let identity = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.names.get(&identity)
        {
            return self.link(level, name, (first, path));
        }
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let read = flags | OFlags::RDONLY | OFlags::NONBLOCK;
        let from = openat(&level.from, name, read, Mode::empty());
        let from = File::from(from.map_err(failed(path, "opening"))?);
        let now = fstat(&from).map_err(failed(path, "reading metadata"))?;
        if (now.st_dev, now.st_ino, now.st_mode) != (stat.st_dev, stat.st_ino, stat.st_mode) {
            let entry = EntryPosition { name: path.as_bytes().to_vec(), offset: 0 };
            return Err(LayerError::Changed { entry });
        }
        let write = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let to = openat(&level.to, name, write, Mode::RUSR | Mode::WUSR);
        let to = File::from(to.map_err(failed(path, "creation"))?);
        let written = copy_file(&from, &to, &mut self.bounds).map_err(|source| {
            if source.kind() == std::io::ErrorKind::QuotaExceeded {
                return limit_of(path, "unpacked", self.how.limits.unpacked);
            }
            LayerError::File { path: path.to_path_buf(), action: "copying", source }
        })?;
        self.copied.written += written;
        if stat.st_nlink > 1 {
            self.names.insert(identity, path.clone());
        }
        self.finish(from.as_fd(), to.as_fd(), (stat, path))
    }

    /// A further name of a file that was copied, whose first one is on a way of directories that this copy made.
    fn link(
        &self,
        level: &Level,
        name: &CStr,
        (first, path): (&TreePath, &TreePath),
    ) -> Result<(), LayerError> {
        linkat(&self.root, first.as_bytes(), &level.to, name, AtFlags::empty())
            .map_err(failed(path, "creation of a further name"))
    }

    /// Gives what cannot be opened its owner and its time.
    fn own_named(
        &self,
        level: &Level,
        name: &CStr,
        (stat, path): (&Stat, &TreePath),
    ) -> Result<(), LayerError> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if self.how.owners == CopyOwners::Keep {
            let (user, group) = owners(stat);
            rustix::fs::chownat(&level.to, name, user, group, nofollow)
                .map_err(failed(path, "change of owner"))?;
        }
        utimensat(&level.to, name, &times(stat), nofollow).map_err(failed(path, "change of time"))
    }

    fn finish_directory(&self, level: &Level) -> Result<(), LayerError> {
        let stat = fstat(&level.from).map_err(failed(&level.path, "reading metadata"))?;
        self.finish(level.from.as_fd(), level.to.as_fd(), (&stat, &level.path))
    }

    /// Owner, attributes, mode and time; in this order, as a new owner voids the others.
    fn finish(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        (stat, path): (&Stat, &TreePath),
    ) -> Result<(), LayerError> {
        if self.how.owners == CopyOwners::Keep {
            let (user, group) = owners(stat);
            fchown(to, user, group).map_err(failed(path, "change of owner"))?;
        }
        let attributes = read_attributes(from, is_kept);
        for (name, value) in attributes.map_err(failed(path, "reading attributes"))? {
            match fsetxattr(to, name.as_slice(), &value, XattrFlags::empty()) {
                // What this user or this file system cannot set.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {}
                Err(errno) => return Err(failed(path, "setting of an attribute")(errno)),
            }
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        fchmod(to, mode).map_err(failed(path, "change of mode"))?;
        futimens(to, &times(stat)).map_err(failed(path, "change of time"))
    }
}

fn is_kept(name: &[u8]) -> bool {
    let ours = [&b"user."[..], b"trusted."].iter().any(|prefix| name.starts_with(prefix));
    (ours || name == b"security.capability") && !is_overlay_xattr(name)
}

fn limit_of(path: &TreePath, what: &'static str, limit: u64) -> LayerError {
    let entry = EntryPosition { name: path.as_bytes().to_vec(), offset: 0 };
    LayerError::Limit { entry, what, limit }
}

fn owners(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn times(stat: &Stat) -> Timestamps {
    let nanos = stat.st_mtime_nsec.try_into().unwrap_or_default();
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}
