//! What is counted of all entries, and the content of one with its holes filled; whoever parsed its headers.

use std::io;

use crate::entry::{Entry, EntryKind};
use crate::tar::assemble;
use crate::tar::source::over;
use crate::tar::sparse::{self, Cursor, Next};
use crate::{LayerError, Limits};

/// What the entries of one archive come to.
#[derive(Default)]
pub(crate) struct Counts {
    entries: u64,
    /// Sum of the sizes of all files so far, holes included.
    total: u64,
    /// Bytes of metadata of all entries so far.
    metadata: u64,
}

impl Counts {
    /// Counts an entry of which `stored` bytes follow [`Entry::content`]; too much of anything is an error.
    pub(crate) fn add(
        &mut self,
        entry: &Entry,
        stored: u64,
        limits: &Limits,
    ) -> Result<(), LayerError> {
        self.entries += 1;
        if self.entries > limits.entries {
            return Err(over(&entry.place(), "entries", limits.entries));
        }
        self.metadata = self.metadata.saturating_add(assemble::metadata_bytes(entry));
        if self.metadata > limits.metadata {
            return Err(over(&entry.place(), "metadata", limits.metadata));
        }
        self.total = self.total.saturating_add(entry.size);
        let reach = entry.content.saturating_add(stored).max(self.total);
        if reach > limits.unpacked {
            return Err(over(&entry.place(), "unpacked", limits.unpacked));
        }
        Ok(())
    }
}

/// The content that is being read.
#[derive(Default)]
pub(crate) struct Content {
    cursor: Cursor,
    /// Bytes left in the archive.
    stored: u64,
}

impl Content {
    /// That of an entry of which the archive has `stored` bytes; a sparse map passed its check.
    pub(crate) fn of(entry: &Entry, stored: u64) -> Self {
        let cursor = match &entry.sparse {
            Some(map) => Cursor::sparse(entry.size, map),
            None => Cursor::plain(entry.size),
        };
        Self { cursor, stored }
    }

    /// Bytes left in the archive.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Passes over a hole that comes next, and returns its length.
    pub(crate) fn pass_hole(&mut self) -> u64 {
        match self.cursor.next() {
            Next::Hole(length) => {
                self.cursor.advance(length);
                length
            }
            Next::Stored(_) | Next::End => 0,
        }
    }

    /// Reads what comes next, of what is stored through `source`; `None` where that ends too early.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        source: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        let wanted = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match self.cursor.next() {
            Next::End => Ok(Some(0)),
            Next::Hole(left) => {
                let taken = wanted(left);
                buffer.get_mut(..taken).unwrap_or_default().fill(0);
                self.cursor.advance(taken as u64);
                Ok(Some(taken))
            }
            Next::Stored(left) => {
                let part = wanted(left);
                let taken = source(buffer.get_mut(..part).unwrap_or_default())?;
                self.cursor.advance(taken as u64);
                self.stored = self.stored.saturating_sub(taken as u64);
                Ok((taken > 0).then_some(taken))
            }
        }
    }
}

/// Bytes that an entry has in the archive, behind its sparse map if there is one; `None` where its map, or what it
/// is, allows no such entry.
pub(crate) fn stored_of(entry: &Entry) -> Option<u64> {
    let stored = match &entry.sparse {
        None => entry.size,
        Some(map) => {
            let stored = map.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.length))?;
            sparse::check(map, entry.size, stored).ok().map(|()| stored)?
        }
    };
    (stored == 0 || entry.kind == EntryKind::File).then_some(stored)
}

/// Whether an entry keeps to the limits of one.
pub(crate) fn fits(entry: &Entry, limits: &Limits) -> bool {
    let extents = entry.sparse.as_ref().map_or(0, Vec::len) as u64;
    assemble::over_limit(entry, limits).is_none() && extents <= limits.extents
}
