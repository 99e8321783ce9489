//! The bytes of a directory: blocks that each begin with a table of fixed records, in the order of
//! the names, and go on with the names. `.` and `..` stand among the others.

use corten_layer::EntryKind;

use crate::erofs::layout::{BLOCK, BLOCK_LEN, DIRENT, types};

/// The bytes of one directory, made name by name in their order.
pub(crate) struct Dirents {
    dots: Vec<(&'static [u8], u64)>,
    blocks: Vec<u8>,
    /// The block that is being filled: records without name offsets, lengths, names.
    records: Vec<(u64, u8, usize)>,
    names: Vec<u8>,
    subdirectories: u32,
}

impl Dirents {
    /// An empty directory with the inodes of itself and of its parent.
    pub(crate) fn new(own: u64, parent: u64) -> Self {
        Self {
            dots: vec![(b"..", parent), (b".", own)],
            blocks: Vec::new(),
            records: Vec::new(),
            names: Vec::new(),
            subdirectories: 0,
        }
    }

    /// Adds a name that sorts behind all before it and has at most [`super::layout::NAME`] bytes.
    pub(crate) fn add(&mut self, name: &[u8], nid: u64, kind: EntryKind) {
        self.put_dots(Some(name));
        self.put(name, nid, kind);
        if kind == EntryKind::Directory {
            self.subdirectories = self.subdirectories.saturating_add(1);
        }
    }

    /// The links to the directory: its name, its own `.`, the `..` of those in it.
    pub(crate) fn links(&self) -> u32 {
        self.subdirectories.saturating_add(2)
    }

    /// All bytes; every block but the last is full.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.put_dots(None);
        self.flush();
        std::mem::take(&mut self.blocks)
    }

    /// Puts the dots that come before `name`.
    fn put_dots(&mut self, name: Option<&[u8]>) {
        while let Some((dots, nid)) =
            self.dots.pop_if(|(dots, _)| name.is_none_or(|name| *dots < name))
        {
            self.put(dots, nid, EntryKind::Directory);
        }
    }

    fn put(&mut self, name: &[u8], nid: u64, kind: EntryKind) {
        let used = self.records.len() * DIRENT + self.names.len();
        if (used + DIRENT + name.len()) as u64 > BLOCK {
            self.flush();
            // Only the last block may end before its border.
            let full = self.blocks.len().next_multiple_of(BLOCK_LEN);
            self.blocks.resize(full, 0);
        }
        self.records.push((nid, types(kind).1, name.len()));
        self.names.extend_from_slice(name);
    }

    fn flush(&mut self) {
        let mut offset = self.records.len() * DIRENT;
        for (nid, kind, length) in self.records.drain(..) {
            self.blocks.extend_from_slice(&nid.to_le_bytes());
            // A block has 512 bytes, so an offset in it fits.
            self.blocks.extend_from_slice(&u16::try_from(offset).unwrap_or(0).to_le_bytes());
            self.blocks.extend_from_slice(&[kind, 0]);
            offset += length;
        }
        self.blocks.append(&mut self.names);
    }
}
