//! Files below one directory, opened so that no symbolic link inside it can lead out of it, and
//! written so that each is there whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::StoreError;

/// Who may reach what is made below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner alone, whatever the umask.
    Private,
    /// Everybody whom the umask lets read it; nobody else writes.
    Common,
}

impl Access {
    /// What is closed stays closed: the access that the directory with this mode gives.
    fn of(mode: u32) -> Self {
        if mode & OTHERS == 0 { Self::Private } else { Self::Common }
    }

    fn of_files(self) -> Mode {
        Mode::from_raw_mode(if self == Self::Private { 0o600 } else { 0o644 })
    }

    fn of_directories(self) -> Mode {
        Mode::from_raw_mode(if self == Self::Private { 0o700 } else { 0o755 })
    }
}

/// The bits of a mode that are not the owner's.
pub(crate) const OTHERS: u32 = 0o077;

/// A directory and what is below it. Paths are relative, made of names that the caller knows to be
/// plain (fixed texts and the two portions of a digest).
#[derive(Debug)]
pub(crate) struct Beneath {
    fd: OwnedFd,
    path: PathBuf,
    access: Access,
}

/// Wraps an error of the system with the file it is about.
pub(crate) fn io_error(path: &Path, action: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), action, source }
}

impl Beneath {
    /// Opens an existing directory; `path` itself may be a symbolic link, it is the user's word. What is made in
    /// one that is closed to others is closed to them, too.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| io_error(path, "open", errno.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io_error(path, "stat", errno.into()))?;
        Ok(Self { fd, path: path.to_owned(), access: Access::of(stat.st_mode) })
    }

    /// Opens a directory that may hold other things as well: a file in it is as open as the umask says.
    pub(crate) fn open_common(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { access: Access::Common, ..Self::open(path)? })
    }

    /// Opens a directory that is made, with its parents, where it is missing.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| io_error(parent, "creation", e))?;
        }
        match rustix::fs::mkdir(path, Access::Common.of_directories()) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(errno) => Err(io_error(path, "creation", errno.into())),
        }
    }

    /// The same, closed to everybody but its owner, as are the parents that are made.
    pub(crate) fn create_private(path: &Path) -> Result<Self, StoreError> {
        crate::private::make_directories(path).map_err(|e| io_error(path, "creation", e))?;
        Ok(Self { access: Access::Private, ..Self::open(path)? })
    }

    /// Closes the directory itself, where what is made in it is private.
    pub(crate) fn close_itself(&self) -> Result<(), StoreError> {
        let wrong = |errno: Errno| io_error(&self.path, "change of mode", errno.into());
        if self.access == Access::Private
            && Access::of(rustix::fs::fstat(&self.fd).map_err(wrong)?.st_mode) == Access::Common
        {
            rustix::fs::fchmod(&self.fd, self.access.of_directories()).map_err(wrong)?;
        }
        Ok(())
    }

    /// The directory as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where `relative` is, for messages.
    pub(crate) fn full(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    fn fault(&self, relative: &str, action: &'static str, errno: Errno) -> StoreError {
        let path = self.full(relative);
        if errno == Errno::LOOP || errno == Errno::XDEV {
            return StoreError::Malformed {
                object: relative.to_owned(),
                place: self.path.display().to_string(),
                source: "symbolic links are not followed inside it".into(),
            };
        }
        io_error(&path, action, errno.into())
    }

    fn open_raw(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode =
            if flags.contains(OFlags::CREATE) { self.access.of_files() } else { Mode::empty() };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, relative, flags, mode, resolve) {
            // Kernels and sandboxes without openat2: the same, one step at a time.
            Err(Errno::NOSYS | Errno::PERM) => self.open_stepwise(relative, flags, mode),
            other => other,
        }
    }

    fn open_stepwise(&self, relative: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let step = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let (parents, last) = split(relative);
        let mut at: Option<OwnedFd> = None;
        for name in parents.split('/').filter(|name| !name.is_empty()) {
            if name == ".." {
                return Err(Errno::XDEV);
            }
            let below = at.as_ref().unwrap_or(&self.fd);
            at = Some(rustix::fs::openat(below, name, step, Mode::empty())?);
        }
        rustix::fs::openat(at.as_ref().unwrap_or(&self.fd), last, flags, mode)
    }

    /// Opens a regular file for reading; `None` when there is nothing of that name. Anything but a
    /// regular file is refused, links too.
    pub(crate) fn read(&self, relative: &str) -> Result<Option<File>, StoreError> {
        // NONBLOCK: opening a pipe that someone planted must not wait for a writer.
        match self.open_raw(relative, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => self.regular(relative, File::from(fd)).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.fault(relative, "open", errno)),
        }
    }

    fn regular(&self, relative: &str, file: File) -> Result<File, StoreError> {
        let meta = file.metadata().map_err(|e| io_error(&self.full(relative), "stat", e))?;
        if meta.is_file() {
            return Ok(file);
        }
        Err(StoreError::Malformed {
            object: relative.to_owned(),
            place: self.path.display().to_string(),
            source: "not a regular file".into(),
        })
    }

    /// The whole of a small file, refused above `limit` bytes.
    pub(crate) fn read_small(
        &self,
        relative: &str,
        limit: (&'static str, u64),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.read(relative)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit.1.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| io_error(&self.full(relative), "read", e))?;
        if bytes.len() as u64 > limit.1 {
            return Err(StoreError::TooLarge {
                object: relative.to_owned(),
                place: self.path.display().to_string(),
                what: limit.0,
                limit: limit.1,
            });
        }
        Ok(Some(bytes))
    }

    /// Opens for reading and writing, made empty where missing; regular files only.
    pub(crate) fn open_or_create(&self, relative: &str) -> Result<File, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
        let fd =
            self.open_raw(relative, flags).map_err(|errno| self.fault(relative, "open", errno))?;
        self.regular(relative, File::from(fd))
    }

    /// Makes a directory and its parents below the root; existing ones are left as they are.
    pub(crate) fn make_dir(&self, relative: &str) -> Result<(), StoreError> {
        let mut done = String::new();
        for name in relative.split('/').filter(|name| !name.is_empty()) {
            let parent = self.dir(&done)?;
            if !done.is_empty() {
                done.push('/');
            }
            done.push_str(name);
            match rustix::fs::mkdirat(&parent, name, self.access.of_directories()) {
                Ok(()) => {
                    sync(&parent).map_err(|e| io_error(&self.full(&done), "sync", e))?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.fault(&done, "creation", errno)),
            }
        }
        Ok(())
    }

    /// Opens a directory below the root; the root itself for the empty text.
    pub(crate) fn dir(&self, relative: &str) -> Result<OwnedFd, StoreError> {
        let relative = if relative.is_empty() { "." } else { relative };
        self.open_raw(relative, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| self.fault(relative, "open", errno))
    }

    /// Names in a directory, sorted; empty when there is none.
    pub(crate) fn list(&self, relative: &str) -> Result<Vec<String>, StoreError> {
        let shown = if relative.is_empty() { "." } else { relative };
        let fd = match self.open_raw(shown, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(self.fault(relative, "open", errno)),
        };
        let entries = rustix::fs::Dir::new(fd).map_err(|e| self.fault(relative, "listing", e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|errno| self.fault(relative, "listing", errno))?;
            // A name that is no UTF-8 is no name of ours and of no digest.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether `relative` still names the very file that is open.
    pub(crate) fn is_same(&self, relative: &str, file: &File) -> Result<bool, StoreError> {
        let (parent, name) = split(relative);
        let there = match rustix::fs::statat(self.dir(parent)?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(self.fault(relative, "stat", errno)),
        };
        let open = rustix::fs::fstat(file).map_err(|e| self.fault(relative, "stat", e))?;
        Ok(there.st_ino == open.st_ino && there.st_dev == open.st_dev)
    }

    /// Renames over whatever is there, and makes that last.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from), split(to));
        let (from_fd, to_fd) = (self.dir(from_dir)?, self.dir(to_dir)?);
        rustix::fs::renameat(&from_fd, from_name, &to_fd, to_name)
            .map_err(|errno| self.fault(to, "rename", errno))?;
        sync(&to_fd).map_err(|e| io_error(&self.full(to), "sync", e))
    }

    /// Renames files, and syncs each directory that has new names once.
    pub(crate) fn rename_all(&self, pairs: &[(String, String)]) -> Result<(), StoreError> {
        let mut directories = BTreeMap::new();
        for (from, to) in pairs {
            let ((from_dir, from_name), (to_dir, to_name)) = (split(from), split(to));
            let (from_fd, to_fd) = (self.dir(from_dir)?, self.dir(to_dir)?);
            rustix::fs::renameat(&from_fd, from_name, &to_fd, to_name)
                .map_err(|errno| self.fault(to, "rename", errno))?;
            directories.insert(to_dir, to_fd);
        }
        for (path, directory) in &directories {
            sync(directory).map_err(|e| io_error(&self.full(path), "sync", e))?;
        }
        Ok(())
    }

    /// Removes a file; whether there was one.
    pub(crate) fn remove(&self, relative: &str) -> Result<bool, StoreError> {
        let (parent, name) = split(relative);
        match rustix::fs::unlinkat(self.dir(parent)?, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.fault(relative, "removal", errno)),
        }
    }

    /// Writes a file whole: to a new file named after `scratch` first, synced, then renamed.
    pub(crate) fn write(
        &self,
        scratch: &str,
        target: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.write_if(scratch, target, bytes, || Ok(true)).map(drop)
    }

    /// The same, but renamed only when `still` says so then; whether it was.
    pub(crate) fn write_if(
        &self,
        scratch: &str,
        target: &str,
        bytes: &[u8],
        still: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let (mut file, temporary) = self.create_scratch(scratch)?;
        let written = fill(&mut file, bytes)
            .and_then(|()| self.close(&file))
            .and_then(|()| file.sync_data())
            .map_err(|e| io_error(&self.full(&temporary), "write", e))
            .and_then(|()| still())
            .and_then(|go| if go { self.rename(&temporary, target).map(|()| go) } else { Ok(go) });
        if !matches!(written, Ok(true)) {
            // The first error is the one to tell; a leftover is swept by `collect`.
            let _ = self.remove(&temporary);
        }
        written
    }

    /// Closes a file to others, where they have no access here: it may have been made by a version that left
    /// it open.
    pub(crate) fn close(&self, file: impl AsFd) -> io::Result<()> {
        match self.access {
            Access::Private => Ok(rustix::fs::fchmod(file, self.access.of_files())?),
            Access::Common => Ok(()),
        }
    }

    /// A new file named after `scratch`, for reading and writing, and its name.
    pub(crate) fn create_scratch(&self, scratch: &str) -> Result<(File, String), StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let temporary = format!("{scratch}.{}-{count}", std::process::id());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            match self.open_raw(&temporary, flags) {
                Ok(fd) => return Ok((File::from(fd), temporary)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.fault(&temporary, "creation", errno)),
            }
        }
    }

    /// Whether there is a directory of that name.
    pub(crate) fn is_directory(&self, relative: &str) -> Result<bool, StoreError> {
        match self.open_raw(relative, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(errno) => Err(self.fault(relative, "open", errno)),
        }
    }

    /// Removes a file from a directory that may be missing.
    pub(crate) fn remove_below(&self, directory: &str, name: &str) -> Result<bool, StoreError> {
        if self.is_directory(directory)? {
            self.remove(&format!("{directory}/{name}"))
        } else {
            Ok(false)
        }
    }
}

/// Makes the modification time of `file` now; a file of someone else's may refuse.
pub(crate) fn touch(file: impl AsFd) -> io::Result<()> {
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: omit, last_modification: now };
    Ok(rustix::fs::futimens(file, &times)?)
}

fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    // Held until the file is renamed: `collect` leaves locked files alone.
    rustix::fs::flock(&*file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(bytes)
}

fn sync(dir: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(dir)?)
}

fn split(relative: &str) -> (&str, &str) {
    relative.rsplit_once('/').unwrap_or(("", relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted() -> (tempfile::TempDir, Beneath) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "inside").unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("../../../secret", root.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink("a/b", root.join("short")).unwrap();
        let beneath = Beneath::open(&root).unwrap();
        (directory, beneath)
    }

    #[test]
    fn links_are_not_followed_with_or_without_openat2() {
        let (_directory, beneath) = planted();
        for path in ["a/b/link", "short/file", "../secret", "a/../../secret"] {
            assert!(!matches!(beneath.read(path), Ok(Some(_))), "{path}");
            let stepwise =
                beneath.open_stepwise(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty());
            assert!(stepwise.is_err(), "{path}, step by step");
        }
        assert!(beneath.read("a/b/file").unwrap().is_some());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        assert!(beneath.open_stepwise("a/b/file", flags, Mode::empty()).is_ok());
    }

    #[test]
    fn a_write_that_is_called_off_leaves_everything_as_it_was() {
        let (directory, beneath) = planted();
        let written = beneath.write_if("a/new", "a/b/file", b"other", || Ok(false)).unwrap();
        assert!(!written);
        let file = directory.path().join("root/a/b/file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "inside");
        assert_eq!(beneath.list("a").unwrap(), ["b"], "the new file is removed");
        beneath.write("a/new", "a/b/file", b"other").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "other");
    }
}
