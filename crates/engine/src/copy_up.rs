//! `tmpcopyup`: a new memory file system that starts with what the image has at its place.

use crate::error::{Doing, Error, Result};
use crate::root::{Links, Root};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How deep directories are copied.
const DEPTH: usize = 64;
/// How many entries are copied.
const ENTRIES: usize = 1 << 16;

/// Copies the directory at `path` into the new mount `to`. Links are copied, never followed.
pub(crate) fn copy_up(root: &Root, path: &Path, to: &OwnedFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let from = match root.open(path, flags, Links::Follow) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(|| format!("open {}", path.display()))?,
    };
    let mut left = ENTRIES;
    directory(from.as_fd(), to.as_fd(), DEPTH, &mut left)
        .doing(|| format!("copy {} into a new file system", path.display()))?;
    if left == 0 {
        return Err(Error::Unsupported {
            what: format!("tmpcopyup of more than {ENTRIES} entries at {}", path.display()),
        });
    }
    Ok(())
}

fn directory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    depth: usize,
    left: &mut usize,
) -> rustix::io::Result<()> {
    if depth == 0 {
        return Err(Errno::LOOP);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            return Ok(());
        }
        copy_entry(from, to, name, depth, left)?;
    }
    Ok(())
}

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: usize,
    left: &mut usize,
) -> rustix::io::Result<()> {
    let found = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let inner = rustix::fs::openat(from, name, read | OFlags::DIRECTORY, Mode::empty())?;
            let copy = rustix::fs::openat(to, name, read | OFlags::DIRECTORY, Mode::empty())?;
            directory(inner.as_fd(), copy.as_fd(), depth - 1, left)?;
        }
        FileType::RegularFile => {
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut source = File::from(rustix::fs::openat(from, name, read, Mode::empty())?);
            let mut copy =
                File::from(rustix::fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?);
            std::io::copy(&mut source, &mut copy)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(target.as_c_str(), to, name)?;
        }
        // Sockets, pipes and devices have no content to start with.
        _ => return Ok(()),
    }
    let (owner, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    rustix::fs::chownat(to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    Ok(())
}
