//! How two merged trees differ.

use std::cmp::Ordering;

use crate::{EntryKind, Merged, Node, TreePath};

/// One path on which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: TreePath,
    /// In what way.
    pub kind: ChangeKind,
}

/// The way in which a path differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the new tree has it.
    Added,
    /// Only the old tree has it.
    Removed,
    /// Both have it; never empty.
    Changed(Vec<Aspect>),
}

/// What of a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aspect {
    /// What it is: file, directory and so on. Nothing else is compared then.
    Kind,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Time of the last change.
    Mtime,
    /// Size of a regular file.
    Size,
    /// Content of a regular file; seen only where both trees were read with
    /// [`crate::Contents::Digest`].
    Content,
    /// Target of a symbolic link.
    Link,
    /// Device numbers.
    Device,
    /// Extended attributes.
    Xattrs,
}

/// Every path on which `old` and `new` differ, in canonical order. Of a directory that no layer has
/// an entry for only the kind is compared.
pub fn changes(old: &Merged, new: &Merged) -> Vec<Change> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        let change = match (before, after) {
            (Some((path, _)), None) => Some((path, ChangeKind::Removed)),
            (None, Some((path, _))) => Some((path, ChangeKind::Added)),
            (Some((path, before)), Some((_, after))) => {
                let aspects = aspects(before, after);
                (!aspects.is_empty()).then_some((path, ChangeKind::Changed(aspects)))
            }
            (None, None) => None,
        };
        changes.extend(change.map(|(path, kind)| Change { path: path.clone(), kind }));
    }
}

fn aspects(before: &Node, after: &Node) -> Vec<Aspect> {
    let (a, b) = (&before.entry, &after.entry);
    if a.kind != b.kind {
        return vec![Aspect::Kind];
    }
    if before.implied || after.implied {
        return Vec::new();
    }
    let both_hashed = before.content.is_some() && after.content.is_some();
    let content = both_hashed && before.content != after.content;
    [
        // Linux ignores the mode of a symbolic link.
        (Aspect::Mode, a.mode != b.mode && a.kind != EntryKind::Symlink),
        (Aspect::Owner, (a.uid, a.gid) != (b.uid, b.gid)),
        (Aspect::Mtime, a.mtime != b.mtime),
        (Aspect::Size, a.size != b.size),
        (Aspect::Content, content),
        (Aspect::Link, a.link != b.link),
        (Aspect::Device, a.device != b.device),
        (Aspect::Xattrs, a.xattrs != b.xattrs),
    ]
    .into_iter()
    .filter_map(|(aspect, differs)| differs.then_some(aspect))
    .collect()
}
