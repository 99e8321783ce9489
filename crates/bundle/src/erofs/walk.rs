//! One walk over a tree for both passes of the writer, so that they cannot disagree: what is in a
//! directory comes before the directory itself.

use corten_layer::{EntryKind, Merged, Node, TreePath};

use crate::erofs::ErofsError;
use crate::erofs::dirents::Dirents;
use crate::erofs::layout::NAME;

/// A file at one of its names.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) path: &'a TreePath,
    /// The same for all names of a file.
    pub(crate) number: usize,
    pub(crate) node: &'a Node,
}

impl Named<'_> {
    pub(crate) fn limit(&self, what: &'static str, limit: u64) -> ErofsError {
        ErofsError::Limit { path: self.path.clone(), what, limit }
    }

    pub(crate) fn wrong(&self, what: &'static str) -> ErofsError {
        ErofsError::Tree { path: self.path.clone(), what }
    }
}

/// What a pass does on the way.
pub(crate) trait Pass {
    /// The inode of a file, as far as it is known.
    fn nid(&self, number: usize) -> u64;
    /// Takes one name of anything but a directory.
    fn file(&mut self, named: Named<'_>) -> Result<(), ErofsError>;
    /// Takes a directory, all that is in it having been taken.
    fn directory(&mut self, named: Named<'_>, entries: Dirents) -> Result<(), ErofsError>;
}

/// Goes over `tree`.
pub(crate) fn walk(tree: &Merged, pass: &mut impl Pass) -> Result<(), ErofsError> {
    let mut open: Vec<(Named<'_>, Dirents)> = Vec::new();
    for (path, number, node) in tree.numbered() {
        let named = Named { path, number, node };
        let depth = path.components().count();
        while open.len() > depth {
            close(&mut open, pass)?;
        }
        if open.len() != depth {
            return Err(named.wrong("it is in no directory"));
        }
        let nid = pass.nid(number);
        let mut parent = nid;
        if let Some((above, entries)) = open.last_mut() {
            parent = pass.nid(above.number);
            let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            if name.len() > NAME {
                return Err(named.limit("the name", NAME as u64));
            }
            entries.add(name, nid, node.entry.kind);
        }
        if node.entry.kind == EntryKind::Directory {
            open.push((named, Dirents::new(nid, parent)));
        } else {
            pass.file(named)?;
        }
    }
    while !open.is_empty() {
        close(&mut open, pass)?;
    }
    Ok(())
}

fn close(open: &mut Vec<(Named<'_>, Dirents)>, pass: &mut impl Pass) -> Result<(), ErofsError> {
    open.pop().map_or(Ok(()), |(named, entries)| pass.directory(named, entries))
}
