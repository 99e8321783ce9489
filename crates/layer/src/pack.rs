//! What packing a directory and packing a tar have in common: which metadata a layer keeps, and how
//! a list of entries becomes a layer. The same tree gives the same layer from either.

use std::collections::BTreeMap;

use corten_spec::DiffId;

use crate::audit::is_overlay_xattr;
use crate::whiteout::WHITEOUT_PREFIX;
use crate::{
    Compression, Entry, EntryKind, EntryPosition, LayerError, LayerRule, Limits, Mtime, Packed,
    Packing, TreePath,
};

/// What becomes of a tree when it is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// How the layer is compressed.
    pub packing: Packing,
    /// Times later than this many seconds after 1970 become this; `None` keeps all.
    pub latest_mtime: Option<i64>,
    /// How exact times are.
    pub precision: Precision,
    /// Everything belongs to this owner; `None` keeps the owners.
    pub owner: Option<Owner>,
    /// Whom some paths belong to all the same.
    pub owners: BTreeMap<TreePath, Owner>,
    /// Which extended attributes are kept.
    pub xattrs: XattrChoice,
    /// Whether the root directory itself has an entry.
    pub root: RootEntry,
    /// What the marks of an overlay mean in a directory that is packed.
    pub marks: Marks,
    /// Paths left out, with all below them.
    pub exclude: Vec<TreePath>,
    /// Bounds on the tree.
    pub limits: Limits,
}

impl PackOptions {
    /// Keeps owners and times (in whole seconds), portable attributes and no root entry.
    pub fn new(compression: Compression) -> Self {
        Self {
            packing: Packing::new(compression),
            latest_mtime: None,
            precision: Precision::Seconds,
            owner: None,
            owners: BTreeMap::new(),
            xattrs: XattrChoice::Portable,
            root: RootEntry::Omit,
            marks: Marks::Nothing,
            exclude: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// An owner and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How exact times are in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Whole seconds, rounded down: what every archive can say.
    Seconds,
    /// Nanoseconds: a PAX record for nearly every entry.
    Nanoseconds,
}

/// Which extended attributes a layer keeps. Those that overlay filesystems use internally are
/// dropped whatever is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XattrChoice {
    /// None.
    None,
    /// `security.capability` and `user.*`.
    Portable,
    /// Those and `trusted.*`.
    Trusted,
}

/// Whether the root directory has an entry. Its mode and owner are often those of a temporary
/// directory and would become those of `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RootEntry {
    /// The engine's default for `/` stands.
    Omit,
    /// `./` with the metadata of the root.
    Keep,
}

/// What the marks of an overlay filesystem mean: devices of number 0:0 and attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marks {
    /// Nothing: a device is a device, and attributes of overlays are dropped.
    Nothing,
    /// The directory is the upper one of an overlay: they become whiteouts. Files whose content stayed
    /// in a lower layer are refused.
    Whiteouts,
}

/// A tree that was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedTree {
    /// The layer.
    pub packed: Packed,
    /// Entries written.
    pub entries: u64,
    /// What was left out because a layer cannot hold it: sockets.
    pub skipped: Vec<TreePath>,
}

impl PackedTree {
    /// The digest of the layer's archive.
    pub fn diff_id(&self) -> &DiffId {
        &self.packed.diff_id
    }
}

impl PackOptions {
    /// Whether `path` is left out.
    pub(crate) fn excludes(&self, path: &TreePath) -> bool {
        self.exclude.iter().any(|excluded| path == excluded || path.is_below(excluded))
    }

    /// Gives an entry the form that a layer has it in.
    pub(crate) fn canonical(&self, entry: &mut Entry, path: &TreePath) {
        entry.name = match path.is_root() {
            true => b"./".to_vec(),
            false => path.as_bytes().to_vec(),
        };
        entry.records.clear();
        entry.sparse = None;
        entry.xattrs.retain(|name, _| self.keeps_xattr(name));
        if let Some(Owner { uid, gid }) = self.owners.get(path).copied().or(self.owner) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(latest) = self.latest_mtime
            && entry.mtime > (Mtime { seconds: latest, nanos: 0 })
        {
            entry.mtime = Mtime { seconds: latest, nanos: 0 };
        }
        if self.precision == Precision::Seconds {
            entry.mtime.nanos = 0;
        }
        if entry.kind == EntryKind::Symlink {
            // Linux gives every symbolic link this mode and ignores it; archives say this and that.
            entry.mode = 0o777;
        }
    }

    /// Whether an attribute of this name is kept.
    pub(crate) fn keeps_xattr(&self, name: &[u8]) -> bool {
        let portable = name == b"security.capability" || name.starts_with(b"user.");
        let wanted = match self.xattrs {
            XattrChoice::None => false,
            XattrChoice::Portable => portable,
            XattrChoice::Trusted => portable || name.starts_with(b"trusted."),
        };
        wanted && !is_overlay_xattr(name)
    }

    /// Refuses a path that a layer cannot hold or that passes a limit.
    pub(crate) fn check_path(&self, path: &TreePath) -> Result<(), LayerError> {
        let entry = || EntryPosition { name: path.as_bytes().to_vec(), offset: 0 };
        if path.components().any(|name| name.starts_with(WHITEOUT_PREFIX)) {
            return Err(LayerError::Refused { entry: entry(), rule: LayerRule::WhiteoutName });
        }
        let depth = path.components().count() as u64;
        let length = path.as_bytes().len() as u64;
        for (what, value, limit) in
            [("depth", depth, self.limits.depth), ("path", length, self.limits.path)]
        {
            if value > limit {
                return Err(LayerError::Limit { entry: entry(), what, limit });
            }
        }
        Ok(())
    }
}

/// Which path of each group of hard links was written first: the others become links to it.
#[derive(Debug)]
pub(crate) struct FirstNames<K> {
    names: BTreeMap<K, TreePath>,
}

impl<K: Ord> FirstNames<K> {
    pub(crate) fn new() -> Self {
        Self { names: BTreeMap::new() }
    }

    /// The name under which `key` was written before, or `None` when `path` is now its first.
    pub(crate) fn claim(&mut self, key: K, path: &TreePath) -> Option<TreePath> {
        if let Some(first) = self.names.get(&key) {
            return Some(first.clone());
        }
        self.names.insert(key, path.clone());
        None
    }
}

/// Turns `entry` into another name of `first`.
pub(crate) fn link_to(entry: &mut Entry, first: &TreePath) {
    entry.kind = EntryKind::HardLink;
    entry.link = first.as_bytes().to_vec();
    entry.size = 0;
    // Attributes belong to the file; on its further names readers would only set them again.
    entry.xattrs.clear();
}
