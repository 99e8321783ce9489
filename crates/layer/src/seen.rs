//! What a file of this machine is as an entry of a layer: by what stat says of it, and by its attributes.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat, fgetxattr, flistxattr, major, minor};
use rustix::io::Errno;

use crate::entry::Device;
use crate::{Attributes, Entry, EntryKind, EntryPosition, LayerError, LayerRule, Mtime, TreePath};

/// What Linux allows for the names and for one value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX_XATTR_LIST: usize = 65_536;
const MAX_XATTR_VALUE: usize = 65_536;

impl Entry {
    /// The metadata of a file, whose entry has `path` for its name; `None` for a socket, which a layer cannot
    /// hold. The target of a link and the attributes are not among what stat says.
    pub fn seen(stat: &Stat, path: &TreePath) -> Result<Option<Self>, LayerError> {
        let Some(kind) = kind_of(stat) else { return Ok(None) };
        let number = || {
            let entry = EntryPosition { name: path.as_bytes().to_vec(), offset: 0 };
            LayerError::Refused { entry, rule: LayerRule::Number }
        };
        let mut entry = Self::new(kind, path.as_bytes());
        entry.mode = stat.st_mode & 0o7777;
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        entry.mtime = Mtime {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).map_err(|_| number())?,
        };
        if kind == EntryKind::File {
            entry.size = u64::try_from(stat.st_size).map_err(|_| number())?;
        }
        if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            entry.device = Device { major: major(stat.st_rdev), minor: minor(stat.st_rdev) };
        }
        Ok(Some(entry))
    }
}

fn kind_of(stat: &Stat) -> Option<EntryKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Directory),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        FileType::Fifo => Some(EntryKind::Fifo),
        FileType::Socket | FileType::Unknown => None,
    }
}

/// The extended attributes of an open file whose names `keeps` says yes to; none on a filesystem without.
pub fn read_attributes(
    file: impl AsFd,
    keeps: impl Fn(&[u8]) -> bool,
) -> rustix::io::Result<Attributes> {
    let mut kept = Attributes::new();
    let mut names = vec![0_u8; MAX_XATTR_LIST];
    let length = match flistxattr(&file, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(kept),
        length => length?,
    };
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() || !keeps(name) {
            continue;
        }
        let mut value = vec![0_u8; MAX_XATTR_VALUE];
        match fgetxattr(&file, name, value.as_mut_slice()) {
            // Taken away since the list was made.
            Err(Errno::NODATA) => continue,
            length => value.truncate(length?),
        }
        kept.insert(name.to_vec(), value);
    }
    Ok(kept)
}
