//! Paths of a tree, followed so that no link leads out of it.

use std::collections::VecDeque;

use corten_layer::{Entry, EntryKind, MAX_SYMLINKS, TreePath};

use crate::error::{Result, StepError};

/// A tree in which names are looked up.
pub(crate) trait Tree {
    /// What is at a path on which no link is followed.
    fn at(&self, path: &TreePath) -> Result<Option<Entry>>;
}

/// Whether a link at the very end is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    Follow,
    Keep,
}

/// Where a path leads: the way without links, and what is there.
pub(crate) struct Resolved {
    pub(crate) path: TreePath,
    pub(crate) entry: Option<Entry>,
}

/// Follows a path from the root of a tree. `..` and absolute links stay in the tree. What is not there is what
/// would be made: its names are taken as they are.
pub(crate) fn resolve(tree: &dyn Tree, path: &[u8], last: LastLink) -> Result<Resolved> {
    let mut coming: VecDeque<Vec<u8>> = names(path).collect();
    let mut at = TreePath::root();
    let mut entry = tree.at(&at)?;
    let mut links = 0;
    while let Some(name) = coming.pop_front() {
        if name == b".." {
            at = at.split().map_or_else(TreePath::root, |(parent, _)| parent);
            entry = tree.at(&at)?;
            continue;
        }
        let here = at.join(&name);
        let found = if entry.is_some() { tree.at(&here)? } else { None };
        let is_last = coming.is_empty() && last == LastLink::Keep;
        match found {
            Some(link) if link.kind == EntryKind::Symlink && !is_last => {
                links += 1;
                if links > MAX_SYMLINKS {
                    let shown = String::from_utf8_lossy(path).into_owned();
                    return Err(StepError::Refused(format!("{shown}: too many symbolic links")));
                }
                if link.link.starts_with(b"/") {
                    at = TreePath::root();
                    entry = tree.at(&at)?;
                }
                for name in names(&link.link).collect::<Vec<_>>().into_iter().rev() {
                    coming.push_front(name);
                }
            }
            found => {
                at = here;
                entry = found;
            }
        }
    }
    Ok(Resolved { path: at, entry })
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// Whether an entry is a directory.
pub(crate) fn is_directory(entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory
}
