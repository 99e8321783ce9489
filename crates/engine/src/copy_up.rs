//! `tmpcopyup`: a new memory file system that starts with what the image has at its place.

use crate::error::{Doing, Error, Result};
use crate::root::{Links, Root};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How deep directories are copied.
const MAX_DEPTH: usize = 64;
/// How many entries are copied.
const MAX_ENTRIES: usize = 1 << 16;
/// How many bytes are copied, holes not counted: they take memory.
const MAX_BYTES: u64 = 4 << 30;
/// What is read at once; where all of it is zero, it becomes a hole.
const PIECE: usize = 64 << 10;

/// What may still be copied.
struct Left {
    entries: usize,
    bytes: u64,
}

/// Copies the directory at `path` into the new mount `to`. Links are copied, never followed.
pub(crate) fn copy_up(root: &Root, path: &Path, to: &OwnedFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let from = match root.open(path, flags, Links::Follow) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(|| format!("open {}", path.display()))?,
    };
    let mut left = Left { entries: MAX_ENTRIES, bytes: MAX_BYTES };
    directory(from.as_fd(), to.as_fd(), MAX_DEPTH, &mut left)
        .doing(|| format!("copy {} into a new file system", path.display()))?;
    let over = match left {
        Left { entries: 0, .. } => format!("{MAX_ENTRIES} entries"),
        Left { bytes: 0, .. } => format!("{MAX_BYTES} bytes"),
        _ => return Ok(()),
    };
    let what = format!("tmpcopyup of more than {over} at {}", path.display());
    Err(Error::Unsupported { what })
}

fn directory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    depth: usize,
    left: &mut Left,
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
        left.entries = left.entries.saturating_sub(1);
        if left.entries == 0 || left.bytes == 0 {
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
    left: &mut Left,
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
            let source = File::from(rustix::fs::openat(from, name, read, Mode::empty())?);
            let copy = File::from(rustix::fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?);
            copy_content(&source, &copy, &mut left.bytes)
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

/// Copies what is written in a file and no hole, until nothing is left of what may be.
fn copy_content(from: &File, to: &File, left: &mut u64) -> io::Result<()> {
    let length = from.metadata()?.len();
    let (mut at, mut buffer) = (0, vec![0; PIECE]);
    while at < length && *left > 0 {
        let begin = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(Errno::NXIO) => break,
            // A file system that does not tell.
            Err(_) => at,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(begin)).unwrap_or(length).min(length);
        at = begin;
        while at < end && *left > 0 {
            let size = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let count = from.read_at(buffer.get_mut(..size).unwrap_or_default(), at)?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                at = length;
                break;
            }
            if piece.iter().any(|byte| *byte != 0) {
                *left = left.saturating_sub(piece.len() as u64);
                to.write_all_at(piece, at)?;
            }
            at += count as u64;
        }
    }
    to.set_len(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes_and_bytes_are_counted() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(1 << 40).unwrap();
        from.write_all_at(b"far", 1 << 39).unwrap();
        let mut left = 1 << 20;
        copy_content(&from, &to, &mut left).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 1 << 40);
        assert!(to.metadata().unwrap().blocks() <= 256, "{:?}", to.metadata());
        assert!(left >= (1 << 20) - (64 << 10), "{left}");
        let mut read = [0; 3];
        to.read_exact_at(&mut read, 1 << 39).unwrap();
        assert_eq!(&read, b"far");
    }

    #[test]
    fn no_more_is_written_than_may_be() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&vec![1; 1 << 20], 0).unwrap();
        let mut left = 100_000;
        copy_content(&from, &to, &mut left).unwrap();
        assert_eq!(left, 0);
        assert!(to.metadata().unwrap().blocks() * 512 <= 256 << 10, "{:?}", to.metadata());
    }
}
