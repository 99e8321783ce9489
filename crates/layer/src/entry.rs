//! One entry of an archive, as every honest reader would understand it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::EntryPosition;
use crate::{LayerError, LayerRule, TreePath};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time, before or after 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Mtime {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds on top of them, below 1 000 000 000.
    pub nanos: u32,
}

/// Device numbers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// A piece of a sparse file that has content; what lies between pieces reads as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// Named byte strings of an entry, in the order of the names.
pub type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Metadata of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name as in the archive; [`Entry::path`] normalises it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with set-user-id, set-group-id and sticky: twelve bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of the content.
    pub mtime: Mtime,
    /// Bytes of content, holes included; 0 for everything but files.
    pub size: u64,
    /// Target of a hard link or symbolic link as in the archive; empty for everything else.
    pub link: Vec<u8>,
    /// Device numbers; 0,0 for everything but devices.
    pub device: Device,
    /// Extended attributes (`SCHILY.xattr.*`). Their encoded twins `LIBARCHIVE.xattr.*`, which only
    /// libarchive reads, stay in `records`.
    pub xattrs: Attributes,
    /// PAX records with no meaning for a file tree (`comment`, `atime`, vendor keys), as read.
    pub records: Attributes,
    /// The pieces of a sparse file in ascending order; `None` for a plain one.
    pub sparse: Option<Vec<Extent>>,
    /// Offset in bytes of the entry's first header in the unpacked archive.
    pub offset: u64,
    /// Offset in bytes of the content in the unpacked archive, behind a sparse map if there is one.
    pub content: u64,
}

impl Entry {
    /// An entry without content, owner, time or attributes: what makers of archives start from.
    pub fn new(kind: EntryKind, name: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: Mtime::default(),
            size: 0,
            link: Vec::new(),
            device: Device::default(),
            xattrs: Attributes::new(),
            records: Attributes::new(),
            sparse: None,
            offset: 0,
            content: 0,
        }
    }

    /// The normalised path, or the rule that the name breaks.
    pub fn path(&self) -> Result<TreePath, LayerRule> {
        TreePath::parse(&self.name)
    }

    /// The normalised target of a hard link, which counts from the root of the tree.
    pub fn link_path(&self) -> Result<TreePath, LayerRule> {
        TreePath::parse(&self.link)
    }

    /// Refuses what an overlay filesystem would take for a whiteout: a plain tree would have it, and
    /// an overlay would hide it and what lower layers have there.
    pub(crate) fn check_device(&self) -> Result<(), LayerRule> {
        let whiteout = self.kind == EntryKind::CharDevice && self.device == Device::default();
        if whiteout { Err(LayerRule::WhiteoutDevice) } else { Ok(()) }
    }

    /// The same as an error, where layers are made.
    pub(crate) fn refuse_device(&self) -> Result<(), LayerError> {
        self.check_device().map_err(|rule| LayerError::Refused { entry: self.place(), rule })
    }

    /// Name and offset, for messages.
    pub fn place(&self) -> EntryPosition {
        EntryPosition { name: self.name.clone(), offset: self.offset }
    }
}
