//! How much of the disk a tree takes.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

/// How deep a tree is looked into.
const MAX_DEPTH: usize = 512;
/// Bytes of a block of `stat`.
const BLOCK: u64 = 512;

/// The bytes that the files of a tree take on disk, each once, whatever its names. No link is followed. What goes
/// away meanwhile does not count, nor what lies deeper than anybody puts it.
///
/// # Errors
/// Where the directory itself cannot be read.
pub fn disk_size(directory: &Path) -> std::io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let (mut seen, mut total) = (HashSet::new(), 0_u64);
    let mut levels = vec![(names(&root)?, root)];
    while let Some((left, here)) = levels.last_mut() {
        let Some(name) = left.pop() else {
            levels.pop();
            continue;
        };
        let Ok(stat) = statat(&*here, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino)) {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
            total = total.saturating_add(blocks.saturating_mul(BLOCK));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && levels.len() < MAX_DEPTH
            && let Some((_, here)) = levels.last()
            && let Ok(below) = openat(here, &name, flags, Mode::empty())
            && let Ok(names) = names(&below)
        {
            levels.push((names, below));
        }
    }
    Ok(total)
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for item in Dir::read_from(directory)? {
        let item = item?;
        if !matches!(item.file_name().to_bytes(), b"." | b"..") {
            names.push(item.file_name().to_owned());
        }
    }
    Ok(names)
}
