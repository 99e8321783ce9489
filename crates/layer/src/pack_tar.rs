//! The tar of a root filesystem becomes a canonical layer: the same one that the unpacked directory
//! would give.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::pack::{FirstNames, PackOptions, PackedTree, RootEntry, link_to};
use crate::plain_reader::content_again;
use crate::{
    Compression, DiffReader, Entry, EntryKind, LayerError, LayerRule, Limits, Packer, PlainArchive,
    PlainReader, TarWriter, TreePath,
};

/// Copies the unpacked archive of `packed` to `spool`, for [`pack_tar`]: that needs to seek, which a
/// compressed stream cannot. Returns the number of bytes.
pub fn spool_tar(
    packed: impl Read,
    limits: Limits,
    spool: &mut impl Write,
) -> Result<u64, LayerError> {
    let mut reader = DiffReader::open(packed, None, limits)?;
    let mut copied = 0_u64;
    loop {
        let bytes = reader.piece()?;
        if bytes.is_empty() {
            return Ok(copied);
        }
        spool.write_all(bytes).map_err(LayerError::from_write)?;
        copied = copied.saturating_add(bytes.len() as u64);
    }
}

/// Packs the plain tar `archive` (see [`spool_tar`] for compressed ones) into `out`.
///
/// `./` before names is dropped; `..`, absolute names and names that begin with `.wh.` are refused,
/// as is the same path twice, unless both times it is a directory: the later metadata stand then.
/// Entries come in canonical order, further names of a file as hard links to the first in that
/// order. The archive is read twice: once for its entries, once for their content.
pub fn pack_tar<R: PlainArchive, W: Write>(
    mut archive: R,
    options: &PackOptions,
    out: W,
) -> Result<(PackedTree, W), LayerError> {
    refuse_compressed(&mut archive)?;
    let tree = index(&mut archive, options)?;
    let mut writer = TarWriter::new(Packer::new(out, options.packing)?);
    let mut first_names = FirstNames::new();
    let mut entries = 0;
    for (path, file) in &tree.names {
        let Some(source) = tree.files.get(*file) else {
            continue;
        };
        if path.is_root() && options.root == RootEntry::Omit {
            continue;
        }
        let mut entry = source.clone();
        options.canonical(&mut entry, path);
        entry.refuse_device()?;
        entries += 1;
        let first = first_names.claim(*file, path);
        if let Some(first) = first {
            link_to(&mut entry, &first);
        }
        if entry.kind == EntryKind::File && entry.size > 0 {
            let content = content(&mut archive, source)?;
            writer.file(&entry, content)?;
        } else {
            writer.entry(&entry)?;
        }
    }
    let (packed, out) = writer.finish()?.finish()?;
    Ok((PackedTree { packed, entries, skipped: Vec::new() }, out))
}

fn refuse_compressed(archive: &mut (impl Read + Seek)) -> Result<(), LayerError> {
    let mut first = Vec::new();
    let limit = crate::MAGIC_BYTES as u64;
    archive.by_ref().take(limit).read_to_end(&mut first).map_err(LayerError::Read)?;
    archive.rewind().map_err(LayerError::Read)?;
    match Compression::detect(&first) {
        Compression::None => Ok(()),
        found => Err(LayerError::Compression { announced: Compression::None, found }),
    }
}

/// The files of an archive and their names, several of which may be of one file.
#[derive(Default)]
struct Tree {
    files: Vec<Entry>,
    names: BTreeMap<TreePath, usize>,
}

fn index(archive: &mut impl PlainArchive, options: &PackOptions) -> Result<Tree, LayerError> {
    let mut tree = Tree::default();
    let mut tar = PlainReader::open(archive, options.limits)?;
    while let Some(entry) = tar.next_entry()? {
        let place = entry.place();
        let refused = |rule| LayerError::Refused { entry: place.clone(), rule };
        if entry.name.starts_with(b"/") {
            return Err(refused(LayerRule::AbsolutePath));
        }
        let path = entry.path().map_err(refused)?;
        if options.excludes(&path) {
            continue;
        }
        options.check_path(&path)?;
        tree.put(path, entry).map_err(refused)?;
    }
    Ok(tree)
}

impl Tree {
    fn put(&mut self, path: TreePath, entry: Entry) -> Result<(), LayerRule> {
        let directory = entry.kind == EntryKind::Directory;
        if path.is_root() && !directory {
            return Err(LayerRule::RootNotDirectory);
        }
        let holds = self.names.range(&path..).take(2).any(|(other, _)| other.is_below(&path));
        if path.ancestors().any(|above| !self.may_hold(&above)) || (holds && !directory) {
            return Err(LayerRule::BelowNonDirectory);
        }
        if entry.kind == EntryKind::HardLink {
            let target = entry.link_path()?;
            let file = self.names.get(&target).copied().ok_or(LayerRule::HardlinkTarget)?;
            let of_directory = self.files.get(file).map(|file| file.kind);
            if of_directory == Some(EntryKind::Directory) {
                return Err(LayerRule::HardlinkToDirectory);
            }
            return self.name(path, file);
        }
        if let Some(before) = self.names.get(&path).and_then(|file| self.files.get_mut(*file))
            && directory
            && before.kind == EntryKind::Directory
        {
            *before = entry;
            return Ok(());
        }
        self.files.push(entry);
        self.name(path, self.files.len() - 1)
    }

    fn name(&mut self, path: TreePath, file: usize) -> Result<(), LayerRule> {
        match self.names.insert(path, file) {
            None => Ok(()),
            Some(_) => Err(LayerRule::DuplicatePath),
        }
    }

    /// Whether something may stand below `path`: it is a directory, or not (yet) in the archive.
    fn may_hold(&self, path: &TreePath) -> bool {
        let entry = self.names.get(path).and_then(|file| self.files.get(*file));
        entry.is_none_or(|entry| entry.kind == EntryKind::Directory)
    }
}

/// The content of one file: the stored bytes, with holes filled where it has some.
fn content<'a, R: Read + Seek>(
    archive: &'a mut R,
    entry: &Entry,
) -> Result<Box<dyn Read + 'a>, LayerError> {
    if entry.sparse.is_none() {
        archive.seek(SeekFrom::Start(entry.content)).map_err(LayerError::Read)?;
        return Ok(Box::new(archive.take(entry.size)));
    }
    Ok(Box::new(content_again(archive, entry)?))
}
