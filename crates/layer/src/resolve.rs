//! Following a path inside a tree: symbolic links lead nowhere but inside the root.

use std::collections::VecDeque;

use crate::{EntryKind, LayerError, TreePath};

/// Most symbolic links on one path, as in the kernel.
pub const MAX_SYMLINKS: usize = 40;

/// What resolving must know of an entry.
pub(crate) struct Seen {
    pub(crate) kind: EntryKind,
    pub(crate) link: Vec<u8>,
}

/// Follows `path` from the root. `look` tells what stands at a path whose parents are directories.
/// Absolute and relative names mean the same, and `..` of the root is the root.
pub(crate) fn resolve(
    path: &[u8],
    mut look: impl FnMut(&TreePath) -> Result<Option<Seen>, LayerError>,
) -> Result<TreePath, LayerError> {
    let not_found = || LayerError::NotFound { path: path.to_vec() };
    let mut coming: VecDeque<Vec<u8>> = components(path).collect();
    let mut here = TreePath::root();
    let mut links = 0;
    while let Some(name) = coming.pop_front() {
        match name.as_slice() {
            b"." => continue,
            b".." => {
                here = here.split().map_or_else(TreePath::root, |(parent, _)| parent);
                continue;
            }
            _ if name.contains(&0) => return Err(not_found()),
            _ => {}
        }
        let next = here.join(&name);
        let seen = look(&next)?.ok_or_else(not_found)?;
        match seen.kind {
            EntryKind::Symlink => {
                links += 1;
                if links > MAX_SYMLINKS {
                    return Err(LayerError::SymlinkLoop { path: path.to_vec() });
                }
                if seen.link.starts_with(b"/") {
                    here = TreePath::root();
                }
                let target: Vec<_> = components(&seen.link).collect();
                target.into_iter().rev().for_each(|name| coming.push_front(name));
            }
            EntryKind::Directory => here = next,
            _ if coming.is_empty() => here = next,
            _ => return Err(not_found()),
        }
    }
    Ok(here)
}

fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
}
