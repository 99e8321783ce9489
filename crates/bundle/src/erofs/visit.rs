//! All files of an index with their paths.

use std::collections::BTreeSet;

use corten_layer::{EntryKind, TreePath};

use crate::erofs::{ErofsError, Inode, Reader};

/// Deepest path that is followed; archives have a limit of their own below this.
const MAX_DEPTH: usize = 2048;

/// Calls `each` with every path of the index and its inode, in canonical order, the root first.
/// Directories with two names, and a number of inodes other than announced, are refused.
///
/// ```
/// # use corten_bundle::erofs::{Reader, visit, write};
/// # use corten_layer::{Limits, Merged};
/// let mut index = std::io::Cursor::new(Vec::new());
/// write(&Merged::new(Limits::default()), &[], &mut index)?;
/// let index = index.into_inner();
/// let mut paths = Vec::new();
/// visit(&Reader::new(&index)?, |path, inode| {
///     paths.push((path.to_string(), inode.links));
///     Ok(())
/// })?;
/// assert_eq!(paths, [("/".to_owned(), 2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn visit(
    reader: &Reader<'_>,
    mut each: impl FnMut(&TreePath, &Inode) -> Result<(), ErofsError>,
) -> Result<(), ErofsError> {
    let root = reader.root()?;
    let mut seen = BTreeSet::from([root.nid]);
    // Directories that are open: what is left in them, from the last.
    let mut open = vec![(TreePath::root(), root.nid, rest_of(reader, &root, root.nid)?)];
    each(&TreePath::root(), &root)?;
    while let Some((above, parent, rest)) = open.last_mut() {
        let Some(entry) = rest.pop() else {
            open.pop();
            continue;
        };
        let (path, parent) = (above.join(&entry.name), *parent);
        let inode = reader.inode(entry.nid)?;
        let directory = inode.kind == EntryKind::Directory;
        let what = match () {
            () if inode.kind != entry.kind => Some("a name of another type"),
            () if !seen.insert(inode.nid) && directory => Some("a directory with two names"),
            () if open.len() > MAX_DEPTH => Some("a path too deep"),
            () => None,
        };
        if let Some(what) = what {
            return Err(ErofsError::Corrupt { what, offset: inode.nid });
        }
        each(&path, &inode)?;
        if directory {
            let rest = rest_of(reader, &inode, parent)?;
            open.push((path, inode.nid, rest));
        }
    }
    if seen.len() as u64 != reader.inodes() {
        let what = "another number of inodes";
        return Err(ErofsError::Corrupt { what, offset: reader.inodes() });
    }
    Ok(())
}

fn rest_of(
    reader: &Reader<'_>,
    directory: &Inode,
    parent: u64,
) -> Result<Vec<super::Dirent>, ErofsError> {
    let mut names = reader.entries(directory, parent)?;
    names.reverse();
    Ok(names)
}
