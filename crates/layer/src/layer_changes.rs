//! What one layer changes: the paths it hides and the entries it brings.

use std::io::Read;

use crate::merged::{Node, digest};
use crate::tar::metadata_bytes;
use crate::{
    Entry, EntryKind, LayerError, LayerReader, LayerRule, Limits, TreePath, Unpacked, Whiteout,
};

/// Whether the contents of files are hashed while a layer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contents {
    /// They are passed over.
    Skip,
    /// Each regular file gets the sha256 of its content.
    Digest,
}

/// What the layers of one stack hold together, held against the limits of one archive: a stack may
/// have any number of layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    entries: u64,
    metadata: u64,
}

impl Held {
    /// Nothing but the root.
    pub(crate) fn root() -> Self {
        Self { entries: 1, metadata: 0 }
    }

    /// Counts one layer more.
    pub(crate) fn add(
        &mut self,
        changes: &LayerChanges,
        limits: &Limits,
    ) -> Result<(), LayerError> {
        self.entries = self.entries.saturating_add(changes.entries.len() as u64);
        self.metadata = self.metadata.saturating_add(changes.metadata);
        self.check(limits)
    }

    /// Refuses what is over a limit.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), LayerError> {
        self.over(limits).map_or(Ok(()), |(what, limit)| {
            let entry = crate::EntryPosition { name: Vec::new(), offset: 0 };
            Err(LayerError::Limit { entry, what, limit })
        })
    }

    /// Counts one entry more; one archive has no more of them than the limits allow, so it is
    /// enough to check at its end.
    pub(crate) fn add_entry(&mut self, entry: &Entry) {
        self.entries = self.entries.saturating_add(1);
        self.metadata = self.metadata.saturating_add(metadata_bytes(entry));
    }

    /// Counts a directory that no entry stands for: one deep path makes hundreds of them, each with
    /// a path of its own.
    pub(crate) fn imply(&mut self, path: &TreePath, limits: &Limits) -> Result<(), LayerRule> {
        let bytes = (path.as_bytes().len() * 2 + size_of::<Node>()) as u64;
        self.entries = self.entries.saturating_add(1);
        self.metadata = self.metadata.saturating_add(bytes);
        self.over(limits).map_or(Ok(()), |_| Err(LayerRule::LimitExceeded))
    }

    /// The first limit that is passed.
    fn over(&self, limits: &Limits) -> Option<(&'static str, u64)> {
        let checks = [
            ("entries", self.entries, limits.entries),
            ("metadata", self.metadata, limits.metadata),
        ];
        checks.into_iter().find(|(_, value, limit)| value > limit).map(|(what, _, max)| (what, max))
    }
}

/// One layer, read.
pub(crate) struct LayerChanges {
    /// Paths of lower layers that are gone with all below them.
    pub(crate) hidden: Vec<TreePath>,
    /// Directories of which lower layers contribute nothing.
    pub(crate) opaque: Vec<TreePath>,
    /// What the layer brings, in the order of the archive; hard links as they are.
    pub(crate) entries: Vec<(TreePath, Node)>,
    /// Bytes of the metadata of all of them.
    pub(crate) metadata: u64,
}

impl LayerChanges {
    /// Reads a whole layer.
    pub(crate) fn read(
        packed: impl Read,
        layer: usize,
        contents: Contents,
        limits: Limits,
    ) -> Result<(Self, Unpacked), LayerError> {
        let mut tar = LayerReader::open(packed, None, limits)?;
        let mut changes =
            Self { hidden: Vec::new(), opaque: Vec::new(), entries: Vec::new(), metadata: 0 };
        let mut ordinal = 0;
        while let Some(entry) = tar.next_entry()? {
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
                    let node = Node { content, ..Node::of(layer, ordinal, entry) };
                    changes.metadata = changes.metadata.saturating_add(metadata_bytes(&node.entry));
                    changes.entries.push((path, node));
                }
            }
            ordinal += 1;
        }
        let unpacked = tar.finish()?;
        Ok((changes, unpacked))
    }
}
