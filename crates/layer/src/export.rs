//! The merged tree of an image as one tar.

use std::collections::BTreeMap;
use std::io::Write;

use crate::audit::is_overlay_xattr;
use crate::merged::{LayerSource, Merged, Node};
use crate::pack::link_to;
use crate::{Entry, EntryKind, LayerError, LayerReader, Limits, TarWriter, TreePath};

/// Writes the whole tree to `out` and returns the number of entries.
///
/// Each layer is read once more at the most, so the order is: everything without content, in
/// canonical order; then the regular files layer by layer, as they stand in each; then the
/// directories, in canonical order. They come last because GNU tar sets the times of a directory as
/// soon as it meets an entry outside, and files that came later would change them again. Further
/// names of a file follow it as hard links. The same image always gives the same bytes. The root has
/// an entry when a layer has one for it.
pub fn export(
    merged: &Merged,
    source: &mut dyn LayerSource,
    limits: Limits,
    out: impl Write,
) -> Result<u64, LayerError> {
    let mut export = Export { writer: TarWriter::new(out), entries: 0 };
    let mut names: BTreeMap<usize, Vec<&TreePath>> = BTreeMap::new();
    for (path, file, _) in merged.numbered() {
        names.entry(file).or_default().push(path);
    }
    let mut layers: BTreeMap<usize, Pending<'_>> = BTreeMap::new();
    let (mut bare, mut directories) = (Vec::new(), Vec::new());
    for (path, file, node) in merged.numbered() {
        let of_file = names.get(&file).map(Vec::as_slice).unwrap_or_default();
        let is_first = of_file.first() == Some(&path);
        match node.entry.kind {
            EntryKind::Directory if path.is_root() && node.implied => {}
            EntryKind::Directory => directories.push((node, of_file)),
            _ if !is_first => {}
            EntryKind::File if node.entry.size > 0 => {
                let pending = layers.entry(node.layer).or_default();
                pending.insert(node.ordinal, (node, of_file));
            }
            _ => bare.push((node, of_file)),
        }
    }
    for (node, paths) in bare {
        export.file(node, paths, std::io::empty())?;
    }
    for (layer, pending) in layers {
        let packed = source.open(layer).map_err(LayerError::from_io)?;
        export.layer(packed, pending, limits)?;
    }
    for (node, paths) in directories {
        export.file(node, paths, std::io::empty())?;
    }
    let mut out = export.writer.finish()?;
    out.flush().map_err(LayerError::from_write)?;
    Ok(export.entries)
}

/// The files still to come out of one layer, by the number of their entry.
type Pending<'a> = BTreeMap<u64, (&'a Node, &'a [&'a TreePath])>;

struct Export<W> {
    writer: TarWriter<W>,
    entries: u64,
}

impl<W: Write> Export<W> {
    /// Writes the files of one layer, in the order in which they stand there.
    fn layer(
        &mut self,
        packed: impl std::io::Read,
        mut pending: Pending<'_>,
        limits: Limits,
    ) -> Result<(), LayerError> {
        let mut tar = LayerReader::open(packed, None, limits)?;
        let mut ordinal = 0;
        while !pending.is_empty() {
            let Some(entry) = tar.next_entry()? else {
                break;
            };
            if let Some((node, paths)) = pending.remove(&ordinal) {
                if (&entry.name, entry.size) != (&node.entry.name, node.entry.size) {
                    return Err(LayerError::Changed { entry: entry.place() });
                }
                self.file(node, paths, &mut tar)?;
            }
            ordinal += 1;
        }
        match pending.into_values().next() {
            Some((node, _)) => Err(LayerError::Changed { entry: node.entry.place() }),
            None => Ok(()),
        }
    }

    /// Writes a file under its first name, and its further names as links.
    fn file(
        &mut self,
        node: &Node,
        paths: &[&TreePath],
        content: impl std::io::Read,
    ) -> Result<(), LayerError> {
        let Some((first, others)) = paths.split_first() else {
            return Ok(());
        };
        let entry = exported(node, first);
        self.writer.file(&entry, content)?;
        for other in others {
            let mut link = exported(node, other);
            link_to(&mut link, first);
            self.writer.entry(&link)?;
        }
        self.entries += paths.len() as u64;
        Ok(())
    }
}

fn exported(node: &Node, path: &TreePath) -> Entry {
    let mut entry = node.entry.clone();
    entry.name = if path.is_root() { b"./".to_vec() } else { path.as_bytes().to_vec() };
    entry.xattrs.retain(|name, _| !is_overlay_xattr(name));
    entry.sparse = None;
    entry
}
