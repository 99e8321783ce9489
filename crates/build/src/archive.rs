//! ADD of a local archive: its entries go below the destination, and nowhere else.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use corten_layer::{
    Compression, DiffReader, Entry, EntryKind, ForeignPacking, LayerError, Limits, MAGIC_BYTES,
    PlainReader, TreePath, WHITEOUT_PREFIX, spool_tar,
};

use crate::assemble::{Assembly, Content, Item};
use crate::copying::join;
use crate::error::{Result, StepError, failed, of_layer, refused};
use crate::flags::Changes;
use crate::lookup::{LastLink, Tree as _, is_directory, resolve};
use crate::sparse::MAX_SPARSE;

/// Whether archives are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpack<'a> {
    /// Files are files.
    Never,
    /// What is an archive by its content is unpacked.
    Archives {
        /// A directory for the plain tars of compressed ones.
        spool: &'a Path,
    },
}

/// Stands in for the tree in the names of the files of archives.
const OF_ARCHIVE: usize = usize::MAX;
/// Bytes of the first header of a tar.
const HEADER: usize = 512;

/// The plain tar in a file, at its beginning; `None` where it holds none. `spool` is a directory for what has to
/// be unpacked first.
///
/// # Errors
/// Where it is damaged, larger than [`Limits`] allow, or of a kind that is not unpacked.
pub fn plain_tar(file: File, spool: &Path) -> Result<Option<File>> {
    open(file, spool)
}

/// The same.
pub(crate) fn open(mut file: File, spool: &Path) -> Result<Option<File>> {
    let first = head(&file)?;
    if let Some(foreign) = ForeignPacking::detect(&first) {
        return of_foreign(file, foreign, spool);
    }
    rewind(&mut file)?;
    if Compression::detect(first.get(..MAGIC_BYTES).unwrap_or_default()) == Compression::None {
        return Ok(is_tar(&first).then_some(file));
    }
    if !is_packed_tar(&file)? {
        // Compressed, and no tar: a file like any other.
        return Ok(None);
    }
    rewind(&mut file)?;
    let mut plain = tempfile::tempfile_in(spool).map_err(failed(spool.display(), "creation"))?;
    spool_tar(BufReader::new(&file), Limits::default(), &mut plain)
        .map_err(of_layer("the archive"))?;
    rewind(&mut plain)?;
    Ok(Some(plain))
}

/// The same of a file in bzip2 or xz.
fn of_foreign(mut file: File, foreign: ForeignPacking, spool: &Path) -> Result<Option<File>> {
    let read = failed::<std::io::Error>("the archive", "unpacking");
    rewind(&mut file)?;
    let mut first = Vec::new();
    let begun = foreign.unpacked(&file, Limits::default());
    let begun = begun.and_then(|plain| plain.take(HEADER as u64).read_to_end(&mut first));
    match begun {
        Ok(_) if is_tar(&first) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(None),
        Err(error) => return Err(read(error)),
    }
    rewind(&mut file)?;
    let mut plain = tempfile::tempfile_in(spool).map_err(failed(spool.display(), "creation"))?;
    let copied = foreign.unpacked(&file, Limits::default());
    copied.and_then(|mut packed| std::io::copy(&mut packed, &mut plain)).map_err(read)?;
    rewind(&mut plain)?;
    Ok(Some(plain))
}

/// Whether a compressed file begins as a tar does. One that is damaged is none; that this machine cannot read it
/// is an error, as it says nothing of the file.
fn is_packed_tar(file: &File) -> Result<bool> {
    let read = DiffReader::open(BufReader::new(file), None, Limits::default()).and_then(|reader| {
        let mut first = Vec::new();
        reader.take(HEADER as u64).read_to_end(&mut first).map_err(LayerError::from_io)?;
        Ok(first)
    });
    match read {
        Ok(first) => Ok(is_tar(&first)),
        Err(LayerError::Corrupt { .. } | LayerError::Truncated { .. }) => Ok(false),
        Err(error) => Err(of_layer("the archive")(error)),
    }
}

fn head(file: &File) -> Result<Vec<u8>> {
    let mut first = Vec::new();
    let read = file.take(HEADER as u64).read_to_end(&mut first);
    read.map_err(failed("the archive", "reading"))?;
    Ok(first)
}

fn rewind(file: &mut File) -> Result<()> {
    file.seek(SeekFrom::Start(0)).map_err(failed("the archive", "reading"))?;
    Ok(())
}

/// Whether the first header has its sum: so are archives of before the magic word known.
fn is_tar(first: &[u8]) -> bool {
    let Some(field) = first.get(148..156).filter(|_| first.len() == HEADER) else { return false };
    let text: String = field.iter().map(|byte| char::from(*byte)).collect();
    let Ok(told) = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) else { return false };
    let sum: u32 = first.iter().enumerate().fold(0, |sum, (at, byte)| {
        sum + if (148..156).contains(&at) { 32 } else { u32::from(*byte) }
    });
    sum == told
}

/// Writes the entries of a tar below a directory.
pub(crate) fn write(
    assembly: &mut Assembly<'_>,
    archive: File,
    directory: &TreePath,
    changes: &Changes,
) -> Result<()> {
    let archive = Arc::new(archive);
    let number = Arc::as_ptr(&archive) as u64;
    let copy = archive.try_clone().map_err(failed("the archive", "opening"))?;
    let mut tar = PlainReader::open(copy, Limits::default()).map_err(of_layer("the archive"))?;
    while let Some(entry) = tar.next_entry().map_err(of_layer("the archive"))? {
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let wrong = |rule: corten_layer::LayerRule| StepError::Refused(format!("{shown}: {rule}"));
        let inner = entry.path().map_err(wrong)?;
        let Some((parent, name)) = inner.split() else { continue };
        if inner.components().any(|name| name.starts_with(WHITEOUT_PREFIX)) {
            return refused(format!(
                "{shown}: a name that begins with .wh. would hide another file"
            ));
        }
        let below = [directory.as_bytes(), b"/", parent.as_bytes()].concat();
        let above = resolve(assembly, &below, LastLink::Follow)?;
        if above.entry.as_ref().is_some_and(|above| !is_directory(above)) {
            return refused(format!("{shown}: what is above it is not a directory"));
        }
        let is_inside = |path: &TreePath| {
            path == directory || path.ancestors().any(|above| above == *directory)
        };
        if !is_inside(&above.path) {
            return refused(format!("{shown}: a link on the way leads out of {directory}"));
        }
        let mut path = above.path.join(name);
        let item = match entry.kind {
            EntryKind::HardLink => {
                let target = entry.link_path().map_err(wrong)?;
                let target = join(directory, target.as_bytes());
                let target = resolve(assembly, target.as_bytes(), LastLink::Keep)?.path;
                match assembly.items.get(&target) {
                    Some(item) if item.entry.kind != EntryKind::Directory => item.clone(),
                    _ => return refused(format!("{shown}: it is a link to what is not there")),
                }
            }
            _ => item(entry, &archive, number, changes)?,
        };
        if is_directory(&item.entry) {
            // A link to a directory stays one.
            let there = resolve(assembly, path.as_bytes(), LastLink::Follow)?;
            if there.entry.as_ref().is_some_and(is_directory) && is_inside(&there.path) {
                path = there.path;
            }
        }
        put(assembly, path, item, changes)?;
    }
    Ok(())
}

fn item(mut entry: Entry, archive: &Arc<File>, number: u64, changes: &Changes) -> Result<Item> {
    let sparse = entry.sparse.take();
    if sparse.is_some() && entry.size > MAX_SPARSE {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        return refused(format!("{name}: a sparse file has at most {MAX_SPARSE} bytes"));
    }
    let offset = entry.content;
    entry.records.clear();
    entry.xattrs.retain(|name, _| name == b"security.capability" || name.starts_with(b"user."));
    if entry.kind == EntryKind::Symlink {
        entry.mode = 0o777;
    }
    changes.apply(&mut entry);
    if entry.kind != EntryKind::File {
        return Ok(Item::plain(entry));
    }
    let content = match sparse {
        None => Content::Archive(archive.clone(), offset),
        Some(extents) => Content::Sparse(archive.clone(), offset, extents.into()),
    };
    Ok(Item { entry, content, file: Some((OF_ARCHIVE, number, offset)) })
}

fn put(assembly: &mut Assembly<'_>, path: TreePath, item: Item, changes: &Changes) -> Result<()> {
    let is_other = |there: Option<&Entry>| {
        there.is_some_and(|there| is_directory(there) != is_directory(&item.entry))
    };
    if is_other(assembly.at(&path)?.as_ref()) {
        let is_here = assembly.items.contains_key(&path);
        if is_here && is_directory(&item.entry) && assembly.is_directory_below(&path)? {
            // What was below the first one would come to light again.
            return refused(format!("{path}: a directory, what is none, and a directory again"));
        }
        assembly.clear(&path);
    }
    assembly.put(path, item, &|| changes.directory())
}
