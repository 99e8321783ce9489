//! A layer in the making: what is written where, over a tree that is there already; then packed in one pass.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::sync::Arc;

use corten_layer::{
    Compression, Entry, EntryKind, Extent, LayerError, Mtime, Packed, Packer, Packing, TarWriter,
    TreePath,
};

use crate::base::BuiltLayer;
use crate::error::{Result, StepError, of_layer};
use crate::lookup::Tree;
use crate::pending::Pending;
use crate::request::Times;
use crate::source::{Identity, Source};
use crate::sparse::Filled;

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// There are none.
    None,
    /// Here.
    Bytes(Arc<[u8]>),
    /// In a tree.
    File(Arc<Source>, TreePath, Identity),
    /// In an archive, from an offset on.
    Archive(Arc<File>, u64),
    /// The same, with holes between its extents.
    Sparse(Arc<File>, u64, Arc<[Extent]>),
}

/// Something to write.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    pub(crate) content: Content,
    /// Names of one file have one of these.
    pub(crate) file: Option<(usize, u64, u64)>,
}

impl Item {
    /// Something without content.
    pub(crate) fn plain(entry: Entry) -> Self {
        Self { entry, content: Content::None, file: None }
    }
}

/// A layer in the making, over a tree.
pub(crate) struct Assembly<'a> {
    pub(crate) items: BTreeMap<TreePath, Item>,
    lower: &'a dyn Tree,
}

impl Tree for Assembly<'_> {
    fn at(&self, path: &TreePath) -> Result<Option<Entry>> {
        match self.items.get(path) {
            Some(item) => Ok(Some(item.entry.clone())),
            None => self.lower.at(path),
        }
    }
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(lower: &'a dyn Tree) -> Self {
        Self { items: BTreeMap::new(), lower }
    }

    /// Writes an item at a path without links; directories above it are as they are below, or made by `made`.
    pub(crate) fn put(
        &mut self,
        path: TreePath,
        item: Item,
        made: &dyn Fn() -> Entry,
    ) -> Result<()> {
        self.directories(&path, made)?;
        self.items.insert(path, item);
        Ok(())
    }

    /// Whether the tree below has a directory at a path, whatever is written over it.
    pub(crate) fn is_directory_below(&self, path: &TreePath) -> Result<bool> {
        let below = self.lower.at(path)?;
        Ok(below.is_some_and(|entry| entry.kind == EntryKind::Directory))
    }

    /// Takes back what is written below a path.
    pub(crate) fn clear(&mut self, path: &TreePath) {
        self.items.retain(|own, _| !own.ancestors().any(|above| above == *path));
    }

    /// The directories above a path.
    fn directories(&mut self, path: &TreePath, made: &dyn Fn() -> Entry) -> Result<()> {
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.items.contains_key(&above) {
                continue;
            }
            let entry = match self.lower.at(&above)? {
                Some(entry) if entry.kind == EntryKind::Directory => entry,
                Some(_) => {
                    return Err(StepError::Refused(format!("{above} is not a directory")));
                }
                None => made(),
            };
            self.items.insert(above, Item::plain(entry));
        }
        Ok(())
    }
}

/// How layers are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) compression: Compression,
    pub(crate) threads: NonZeroUsize,
    pub(crate) times: Times,
}

impl How {
    pub(crate) fn packing(self) -> Packing {
        Packing { compression: self.compression, level: None, threads: self.threads }
    }
}

/// Packs items into a blob that waits for the store; also gives what is in the layer now.
pub(crate) fn pack(
    items: BTreeMap<TreePath, Item>,
    how: How,
    pending: &Pending,
) -> Result<(BuiltLayer, BTreeMap<TreePath, Entry>)> {
    let told = || of_layer("the layer");
    let staged = pending.stage()?;
    let packer = Packer::new(staged, how.packing()).map_err(told())?;
    let mut writer = TarWriter::new(packer);
    let mut first_names: BTreeMap<(usize, u64, u64), TreePath> = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for (path, item) in items {
        let Item { mut entry, content, file } = item;
        entry.name = path.as_bytes().to_vec();
        entry.mtime = how.times.of(entry.mtime);
        entries.insert(path.clone(), entry.clone());
        let first = file.and_then(|file| match first_names.get(&file) {
            Some(first) => Some(first.clone()),
            None => {
                first_names.insert(file, path.clone());
                None
            }
        });
        if let Some(first) = first {
            entry.kind = EntryKind::HardLink;
            entry.link = first.as_bytes().to_vec();
            entry.size = 0;
            entry.xattrs.clear();
            writer.entry(&entry).map_err(of_layer(&path))?;
            continue;
        }
        write(&mut writer, &entry, content).map_err(of_layer(&path))?;
    }
    let (packed, staged) = writer.finish().map_err(told())?.finish().map_err(told())?;
    let layer = built(packed);
    pending.add(staged, &layer)?;
    Ok((layer, entries))
}

/// The layer of what was packed.
pub(crate) fn built(packed: Packed) -> BuiltLayer {
    BuiltLayer { descriptor: packed.descriptor, diff_id: packed.diff_id }
}

fn write<W: std::io::Write>(
    writer: &mut TarWriter<W>,
    entry: &Entry,
    content: Content,
) -> std::result::Result<(), LayerError> {
    match content {
        Content::None => writer.entry(entry),
        Content::Bytes(bytes) => writer.file(entry, &*bytes),
        Content::File(source, path, identity) => {
            let file = source.read(&path, &identity);
            let file = file.map_err(|error| LayerError::Read(std::io::Error::other(error)))?;
            writer.file(entry, file)
        }
        Content::Archive(file, offset) => {
            let mut file: &File = &file;
            file.seek(SeekFrom::Start(offset)).map_err(LayerError::Read)?;
            writer.file(entry, file.take(entry.size))
        }
        Content::Sparse(file, offset, extents) => {
            let mut file: &File = &file;
            file.seek(SeekFrom::Start(offset)).map_err(LayerError::Read)?;
            writer.file(entry, Filled::new(file, &extents, entry.size))
        }
    }
}

impl Times {
    /// The time that a file gets in a layer: in whole seconds.
    pub(crate) fn of(self, mtime: Mtime) -> Mtime {
        let seconds = match self {
            Self::Until(latest) => mtime.seconds.min(latest),
            Self::Real(_) => mtime.seconds,
        };
        Mtime { seconds, nanos: 0 }
    }

    /// The time of what is made now.
    pub(crate) fn now(self) -> Mtime {
        let (Self::Until(seconds) | Self::Real(seconds)) = self;
        Mtime { seconds, nanos: 0 }
    }

    /// The latest time that a file may have.
    pub(crate) fn latest(self) -> Option<i64> {
        match self {
            Self::Until(latest) => Some(latest),
            Self::Real(_) => None,
        }
    }
}
