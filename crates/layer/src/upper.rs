//! What the upper directory of an overlay says of the layers below it: the marks of Linux's overlay
//! filesystem (kernel documentation, `filesystems/overlayfs.rst`), which become whiteouts of a layer.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat, fgetxattr, major, minor};
use rustix::io::Errno;

use crate::whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::{Entry, EntryKind, LayerError, TreePath};

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing.
    None,
    /// Whatever lower layers have here is gone.
    Gone,
    /// Whatever lower layers have in this directory is hidden.
    Opaque,
}

/// Where the marks are: with the privileged form or with that of `userxattr`.
const NAMESPACES: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whether this is a whiteout: a device that cannot be.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (0, 0)
}

/// Reads the marks of an open file or directory.
pub(crate) fn mark(file: impl AsFd, kind: EntryKind, path: &TreePath) -> Result<Mark, LayerError> {
    for below in NAMESPACES {
        for name in ["redirect", "metacopy"] {
            if value(&file, &format!("{below}{name}"), path)?.is_some() {
                let text = format!("its content is elsewhere: it has the attribute {below}{name}");
                let source = std::io::Error::other(text);
                let (path, action) = (path.to_path_buf(), "packing");
                return Err(LayerError::File { path, action, source });
            }
        }
        let found = match kind {
            EntryKind::Directory => value(&file, &format!("{below}opaque"), path)?
                .filter(|said| said == b"y")
                .map(|_| Mark::Opaque),
            _ => value(&file, &format!("{below}whiteout"), path)?.map(|_| Mark::Gone),
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Ok(Mark::None)
}

fn value(file: impl AsFd, name: &str, path: &TreePath) -> Result<Option<Vec<u8>>, LayerError> {
    let mut value = vec![0_u8; 4096];
    match fgetxattr(&file, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        // Longer than any mark, but for that of a place elsewhere.
        Err(Errno::RANGE) => Ok(Some(Vec::new())),
        Err(errno) => Err(LayerError::File {
            path: path.to_path_buf(),
            action: "reading an attribute",
            source: errno.into(),
        }),
    }
}

/// The entry that hides `name` in the directory `parent`.
pub(crate) fn whiteout(parent: &TreePath, name: &CStr) -> (Entry, TreePath) {
    empty(parent.join(&[WHITEOUT_PREFIX, name.to_bytes()].concat()))
}

/// The entry that hides what lower layers have in a directory.
pub(crate) fn opaque(directory: &TreePath) -> (Entry, TreePath) {
    empty(directory.join(OPAQUE_MARKER))
}

fn empty(path: TreePath) -> (Entry, TreePath) {
    (Entry::new(EntryKind::File, path.as_bytes()), path)
}
