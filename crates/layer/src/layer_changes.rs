//! What one layer changes: the paths it hides and the entries it brings.

use std::io::Read;

use crate::merged::{Node, digest};
use crate::{DiffReader, EntryKind, LayerError, Limits, Tar, TreePath, Unpacked, Whiteout};

/// Whether the contents of files are hashed while a layer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contents {
    /// They are passed over.
    Skip,
    /// Each regular file gets the sha256 of its content.
    Digest,
}

/// One layer, read.
pub(crate) struct LayerChanges {
    /// Paths of lower layers that are gone with all below them.
    pub(crate) hidden: Vec<TreePath>,
    /// Directories of which lower layers contribute nothing.
    pub(crate) opaque: Vec<TreePath>,
    /// What the layer brings, in the order of the archive; hard links as they are.
    pub(crate) entries: Vec<(TreePath, Node)>,
}

impl LayerChanges {
    /// Reads a whole layer.
    pub(crate) fn read(
        packed: impl Read,
        layer: usize,
        contents: Contents,
        limits: Limits,
    ) -> Result<(Self, Unpacked), LayerError> {
        let mut tar = Tar::new(DiffReader::open(packed, None, limits)?, limits);
        let mut changes = Self { hidden: Vec::new(), opaque: Vec::new(), entries: Vec::new() };
        let mut ordinal = 0;
        while let Some(mut entry) = tar.next_entry()? {
            let place = entry.place();
            let refused = |rule| LayerError::Refused { entry: place.clone(), rule };
            let path = entry.path().map_err(refused)?;
            match Whiteout::of(&path).map_err(refused)? {
                Some(Whiteout::Path(hidden)) => changes.hidden.push(hidden),
                Some(Whiteout::Below(directory)) => changes.opaque.push(directory),
                Some(Whiteout::Reserved) => {}
                None => {
                    let hashed = contents == Contents::Digest && entry.kind == EntryKind::File;
                    let content = if hashed { Some(digest(&mut tar)?) } else { None };
                    // What a tree has no use for would only take memory.
                    entry.records.clear();
                    entry.sparse = None;
                    changes
                        .entries
                        .push((path, Node { layer, ordinal, entry, content, implied: false }));
                }
            }
            ordinal += 1;
        }
        let unpacked = tar.into_inner().finish()?;
        Ok((changes, unpacked))
    }
}
