//! Copies files and directories between two trees, by descriptors alone: whatever either tree's owner does
//! meanwhile, nothing outside of the two directories is read or written.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_layer::{CopyBounds, copy_file};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

/// Deepest tree that is copied; each level holds two descriptors.
const MAX_DEPTH: usize = 256;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Files and links.
    pub(super) files: u64,
    /// Bytes of files.
    pub(super) bytes: u64,
    /// What is neither file nor directory nor link, as paths.
    pub(super) skipped: Vec<String>,
}

/// A name in an open directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The directory.
    pub(super) directory: BorrowedFd<'a>,
    /// The name.
    pub(super) name: &'a CStr,
}

/// Copies with these bits of modes.
#[derive(Debug)]
pub(super) struct Copier {
    modes: u32,
    tally: Tally,
}

/// An error with the name that it is about; a longer path is put together on the way up.
fn named(name: &CStr) -> impl Fn(Errno) -> io::Error {
    let name = name.to_string_lossy().into_owned();
    move |errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("{name}: {error}"))
    }
}

impl Copier {
    /// Set-user-id bits come along where `trusted`.
    pub(super) fn new(trusted: bool) -> Self {
        Self { modes: if trusted { 0o7777 } else { 0o777 }, tally: Tally::default() }
    }

    pub(super) fn done(self) -> Tally {
        self.tally
    }

    /// Copies what is at `from` to `to`: a file takes the place of one, a directory's content is added to
    /// that of one that is there.
    pub(super) fn copy(&mut self, from: At<'_>, to: At<'_>, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("deeper than {MAX_DEPTH} directories")));
        }
        let failed = named(from.name);
        let stat = statat(from.directory, from.name, AtFlags::SYMLINK_NOFOLLOW).map_err(&failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let source = directory(from).map_err(&failed)?;
                let (target, fresh) = made(to).map_err(named(to.name))?;
                self.content(source.as_fd(), target.as_fd(), depth)?;
                if fresh { self.finish(&target, &stat).map_err(failed) } else { Ok(()) }
            }
            FileType::RegularFile => self.file(from, to, &stat),
            FileType::Symlink => {
                let link = readlinkat(from.directory, from.name, Vec::new()).map_err(&failed)?;
                clear(to).map_err(named(to.name))?;
                self.tally.files += 1;
                symlinkat(link, to.directory, to.name).map_err(named(to.name))
            }
            _ => {
                self.tally.skipped.push(from.name.to_string_lossy().into_owned());
                Ok(())
            }
        }
    }

    /// Copies what is in one directory into another one.
    pub(super) fn content(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        depth: usize,
    ) -> io::Result<()> {
        let mut names: Vec<CString> = Vec::new();
        for item in Dir::read_from(from)? {
            let item = item?;
            if !matches!(item.file_name().to_bytes(), b"." | b"..") {
                names.push(item.file_name().to_owned());
            }
        }
        for name in &names {
            let (from, to) = (At { directory: from, name }, At { directory: to, name });
            self.copy(from, to, depth + 1)?;
        }
        Ok(())
    }

    fn file(&mut self, from: At<'_>, to: At<'_>, seen: &Stat) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source =
            openat(from.directory, from.name, flags, Mode::empty()).map_err(named(from.name))?;
        let stat = fstat(&source).map_err(named(from.name))?;
        if (stat.st_dev, stat.st_ino, stat.st_mode) != (seen.st_dev, seen.st_ino, seen.st_mode) {
            let name = from.name.to_string_lossy();
            return Err(io::Error::other(format!("{name}: it changed while it was copied")));
        }
        let target = opened(to).map_err(named(to.name))?;
        let (source, file) = (File::from(source), File::from(target));
        // What an interrupt ends is ended by it: nothing catches one here.
        let mut bounds = CopyBounds { room: u64::MAX, is_unwanted: &|| false };
        copy_file(&source, &file, &mut bounds).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", from.name.to_string_lossy()))
        })?;
        self.tally.bytes += u64::try_from(stat.st_size).unwrap_or_default();
        self.tally.files += 1;
        self.finish(&file, &stat).map_err(named(to.name))
    }

    /// Gives the copy the mode and the time of what was copied.
    fn finish(&self, copy: impl AsFd, stat: &Stat) -> Result<(), Errno> {
        fchmod(&copy, Mode::from_raw_mode(stat.st_mode & self.modes))?;
        let time = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.try_into().unwrap_or_default(),
        };
        futimens(&copy, &Timestamps { last_access: time, last_modification: time })
    }
}

fn directory(at: At<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at.directory, at.name, flags, Mode::empty())
}

/// The directory at a name, and whether it was made.
fn made(at: At<'_>) -> Result<(OwnedFd, bool), Errno> {
    let fresh = match mkdirat(at.directory, at.name, Mode::from_raw_mode(0o700)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno),
    };
    Ok((directory(at)?, fresh))
}

/// Removes a file or a link at a name, if one is there.
fn clear(at: At<'_>) -> Result<(), Errno> {
    match unlinkat(at.directory, at.name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A new file in the place of the one at a name; one that something is mounted on is emptied instead.
fn opened(at: At<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match clear(at) {
        Ok(()) => {
            let flags = flags | OFlags::CREATE | OFlags::EXCL;
            openat(at.directory, at.name, flags, Mode::from_raw_mode(0o600))
        }
        Err(Errno::BUSY) => {
            let flags = flags | OFlags::TRUNC | OFlags::NONBLOCK;
            openat(at.directory, at.name, flags, Mode::empty())
        }
        Err(errno) => Err(errno),
    }
}
