//! Several layers become one that changes what they change together, whatever is below them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};

use crate::pack::{FirstNames, link_to};
use crate::plain_reader::content_again;
use crate::{
    Entry, EntryKind, LayerError, Limits, Merged, Node, OPAQUE_MARKER, Packed, Packer, Packing,
    PlainArchive, PlainReader, TarWriter, TreePath, WHITEOUT_PREFIX, Whiteout,
};

/// Writes one layer that does what `archives`, plain tars and the lowest first, do one after the other.
///
/// What one of them hides stays hidden, also where another one writes something new there; directories that none
/// of them has an entry for are left to those below. Entries are in canonical order, a whiteout directly before
/// what takes its place. Each archive is read twice for its entries and once for its contents.
///
/// ```
/// # use std::io::Cursor;
/// # use corten_layer::{Compression, Contents, Entry, EntryKind, LayerError, Limits, Merged, Packing, TarWriter, join};
/// fn layer(name: &str) -> Result<Cursor<Vec<u8>>, LayerError> {
///     let mut writer = TarWriter::new(Vec::new());
///     writer.entry(&Entry::new(EntryKind::File, name))?;
///     Ok(Cursor::new(writer.finish()?))
/// }
/// let mut layers = [layer("a")?, layer("b")?, layer(".wh.a")?];
/// let (_, joined) = join(&mut layers, Packing::new(Compression::None), Limits::default(), Vec::new())?;
/// let mut merged = Merged::new(Limits::default());
/// merged.add(layer("a")?, Contents::Skip)?;
/// merged.add(joined.as_slice(), Contents::Skip)?;
/// let names: Vec<String> = merged.iter().map(|(path, _)| path.to_string()).collect();
/// assert_eq!(names, ["/", "/b"]);
/// # Ok::<(), LayerError>(())
/// ```
pub fn join<R: PlainArchive, W: Write>(
    archives: &mut [R],
    packing: Packing,
    limits: Limits,
    out: W,
) -> Result<(Packed, W), LayerError> {
    let mut merged = Merged::new(limits);
    let mut hides = Hides::default();
    for archive in archives.iter_mut() {
        rewind(archive)?;
        hides.read(&mut *archive, limits)?;
        rewind(archive)?;
        merged.add_plain(&mut *archive)?;
    }
    let marks = hides.needed(&merged);
    let mut writer = TarWriter::new(Packer::new(out, packing)?);
    let mut first_names = FirstNames::new();
    let entries: BTreeMap<&TreePath, (usize, &Node)> = merged
        .numbered()
        .filter(|(_, _, node)| !node.implied)
        .map(|(path, file, node)| (path, (file, node)))
        .collect();
    let paths: BTreeSet<&TreePath> = entries.keys().copied().chain(marks.keys()).collect();
    for path in paths {
        let mark = marks.get(path).copied().unwrap_or_default();
        if mark.path
            && let Some((parent, name)) = path.split()
        {
            whiteout(&mut writer, &parent.join(&[WHITEOUT_PREFIX, name].concat()))?;
        }
        if let Some((file, node)) = entries.get(path) {
            let first = first_names.claim(*file, path);
            put(&mut writer, (path, node, first), archives)?;
        }
        if mark.below {
            whiteout(&mut writer, &path.join(OPAQUE_MARKER))?;
        }
    }
    writer.finish()?.finish()
}

/// What the layers hide of those below them.
#[derive(Default)]
struct Hides {
    paths: BTreeSet<TreePath>,
    below: BTreeSet<TreePath>,
    /// Where one of them has what is no directory.
    covered: BTreeSet<TreePath>,
}

/// What hides at one path.
#[derive(Clone, Copy, Default)]
struct Mark {
    path: bool,
    below: bool,
}

impl Hides {
    fn read(&mut self, archive: impl PlainArchive, limits: Limits) -> Result<(), LayerError> {
        let mut tar = PlainReader::open(archive, limits)?;
        while let Some(entry) = tar.next_entry()? {
            let refused = |rule| LayerError::Refused { entry: entry.place(), rule };
            let path = entry.path().map_err(refused)?;
            match Whiteout::of(&path).map_err(refused)? {
                Some(Whiteout::Path(hidden)) => drop(self.paths.insert(hidden)),
                Some(Whiteout::Below(directory)) => drop(self.below.insert(directory)),
                Some(Whiteout::Reserved) => {}
                None if entry.kind != EntryKind::Directory => drop(self.covered.insert(path)),
                None => {}
            }
        }
        Ok(())
    }

    /// The marks that are needed: where something above hides more, or is no directory, there are none.
    fn needed(mut self, merged: &Merged) -> BTreeMap<TreePath, Mark> {
        let is_directory = |path: &TreePath| {
            merged.at(path).is_none_or(|node| node.entry.kind == EntryKind::Directory)
        };
        // What stood between in place of a directory hid the one below it.
        let again = self.covered.into_iter().filter(|path| {
            merged.at(path).is_some_and(|node| node.entry.kind == EntryKind::Directory)
        });
        self.paths.extend(again);
        let (paths, below) = (&self.paths, &self.below);
        let is_reached = |path: &TreePath| {
            path.ancestors().all(|above| {
                let hides = paths.contains(&above) || below.contains(&above);
                !hides && is_directory(&above)
            })
        };
        let mut marks: BTreeMap<TreePath, Mark> = BTreeMap::new();
        for path in paths.iter().filter(|path| is_reached(path)) {
            marks.entry(path.clone()).or_default().path = true;
        }
        let opaque = below
            .iter()
            .filter(|path| is_reached(path) && !paths.contains(*path) && is_directory(path));
        for path in opaque {
            marks.entry(path.clone()).or_default().below = true;
        }
        marks
    }
}

fn whiteout<W: Write>(writer: &mut TarWriter<W>, path: &TreePath) -> Result<(), LayerError> {
    writer.entry(&Entry::new(EntryKind::File, path.as_bytes()))
}

/// Writes one name of a file: the first with its content, the others as links.
fn put<R: Read + Seek, W: Write>(
    writer: &mut TarWriter<W>,
    (path, node, first): (&TreePath, &Node, Option<TreePath>),
    archives: &mut [R],
) -> Result<(), LayerError> {
    let mut entry = node.entry.clone();
    entry.name = if path.is_root() { b"./".to_vec() } else { path.as_bytes().to_vec() };
    entry.sparse = None;
    if let Some(first) = first {
        link_to(&mut entry, &first);
    }
    if entry.kind != EntryKind::File || entry.size == 0 {
        return writer.entry(&entry);
    }
    let changed = || LayerError::Changed { entry: node.entry.place() };
    let archive = archives.get_mut(node.layer).ok_or_else(changed)?;
    if node.entry.sparse.is_none() {
        archive.seek(SeekFrom::Start(node.entry.content)).map_err(LayerError::Read)?;
        return writer.file(&entry, archive.take(entry.size));
    }
    writer.file(&entry, content_again(archive, &node.entry)?)
}

fn rewind(archive: &mut impl Seek) -> Result<(), LayerError> {
    archive.seek(SeekFrom::Start(0)).map(drop).map_err(LayerError::Read)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Compression, Contents, Tar};

    type Layer = Cursor<Vec<u8>>;

    /// `dir/`, `file=content`, `link>target` (hard), or the name of a whiteout.
    fn layer(words: &str) -> Layer {
        let mut writer = TarWriter::new(Vec::new());
        for word in words.split_whitespace() {
            if let Some(name) = word.strip_suffix('/') {
                writer.entry(&Entry::new(EntryKind::Directory, name)).unwrap();
            } else if let Some((name, target)) = word.split_once('>') {
                let mut entry = Entry::new(EntryKind::HardLink, name);
                entry.link = target.into();
                writer.entry(&entry).unwrap();
            } else {
                let (name, content) = word.split_once('=').unwrap_or((word, ""));
                let mut entry = Entry::new(EntryKind::File, name);
                entry.size = content.len() as u64;
                writer.file(&entry, content.as_bytes()).unwrap();
            }
        }
        Cursor::new(writer.finish().unwrap())
    }

    fn joined(layers: &[&str]) -> Vec<u8> {
        let mut layers: Vec<Layer> = layers.iter().map(|words| layer(words)).collect();
        let packing = Packing::new(Compression::None);
        join(&mut layers, packing, Limits::default(), Vec::new()).unwrap().1
    }

    /// Every path with its kind, content and file.
    fn tree(layers: &[Vec<u8>]) -> Vec<String> {
        let mut merged = Merged::new(Limits::default());
        for layer in layers {
            merged.add(layer.as_slice(), Contents::Digest).unwrap();
        }
        let mut first = BTreeMap::new();
        let told = merged.numbered().map(|(path, file, node)| {
            let first = first.entry(file).or_insert_with(|| path.to_string());
            format!("{path} {:?} {:?} {first}", node.entry.kind, node.content)
        });
        told.collect()
    }

    fn names(layer: &[u8]) -> Vec<String> {
        let mut tar = Tar::new(layer, Limits::default());
        let mut names = Vec::new();
        while let Some(entry) = tar.next_entry().unwrap() {
            names.push(String::from_utf8(entry.name).unwrap());
        }
        names
    }

    #[test]
    fn one_layer_does_what_several_do() {
        let base = "d/ d/x=low d/y=low e/ e/z=low f=low";
        for layers in [
            &["a=1", "b=2", ".wh.a"][..],
            &["d/x=1", "d/.wh.y"],
            &["d/.wh.x", ".wh.d"],
            &[".wh.d", "d/ d/n=1"],
            &["d/ d/.wh..wh..opq d/n=1", "d/m=2"],
            &["d=file", ".wh.d d/ d/n=1"],
            &["d/.wh.x", "d=file"],
            &["d/.wh..wh..opq", "d=file"],
            &["a=1 b>a", "a=2", "c0=1 c>c0"],
            &["a=1 b>a", ".wh.a"],
            &["f=1", ".wh.f", "f=2"],
            &["e/z=1", ".wh.e", "e/ e/w=1"],
            &["n/ n/k=1", "n/.wh.k"],
            &["f=1", "f=2", "f=3"],
            &[".wh.f", ".wh.d", ".wh.e"],
        ] {
            let apart: Vec<Vec<u8>> = std::iter::once(base)
                .chain(layers.iter().copied())
                .map(|words| layer(words).into_inner())
                .collect();
            let together = [layer(base).into_inner(), joined(layers)];
            assert_eq!(tree(&together), tree(&apart), "{layers:?}");
        }
    }

    #[test]
    fn a_directory_that_a_file_stood_for_between_is_a_new_one() {
        // Layers that are laid over each other: the file of the first hides the directory below it.
        assert_eq!(names(&joined(&["d=file", "d/ d/n=1"])), [".wh.d", "d/", "d/n"]);
    }

    #[test]
    fn marks_that_something_above_makes_idle_are_left_out() {
        assert_eq!(names(&joined(&["d/.wh.x", ".wh.d"])), [".wh.d"]);
        assert_eq!(names(&joined(&["d/.wh.x d/.wh..wh..opq"])), ["d/.wh..wh..opq"]);
        assert_eq!(names(&joined(&["d/.wh.x", "d=1"])), ["d"]);
    }

    #[test]
    fn what_nobody_wrote_is_left_to_those_below() {
        assert_eq!(names(&joined(&["d/e/f=1", "d/e/g=2"])), ["d/e/f", "d/e/g"]);
    }
}
