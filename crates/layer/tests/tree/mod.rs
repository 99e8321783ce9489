//! What a directory holds, as values that can be compared.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use corten_layer::{Attributes, EntryKind, LayerSource, Limits, Merged, copy_content};
use corten_spec::{Algorithm, Hasher};

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Attributes,
    /// The target of a link, the digest of a content.
    pub(crate) content: Vec<u8>,
    /// The first path of the same file.
    pub(crate) first: Vec<u8>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, mode, owner, mtime, device, xattrs, content, first } = self;
        let (content, first) = (content.escape_ascii(), first.escape_ascii());
        let short = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            let head = value[..value.len().min(9)].escape_ascii();
            format!("{}={head}/{}", name.escape_ascii(), value.len())
        };
        let xattrs: Vec<_> = xattrs.iter().map(short).collect();
        write!(f, "{kind}{mode:o} {owner:?} {mtime:?} {device:?} {xattrs:?} {content} ={first}")
    }
}

pub(crate) type Tree = BTreeMap<Vec<u8>, Seen>;

pub(crate) fn hash(bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish().to_string().into_bytes()
}

/// Everything below a directory, the directory itself under the empty path.
pub(crate) fn on_disk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    walk(root, Vec::new(), &mut tree, &mut inodes);
    tree
}

fn walk(at: &Path, path: Vec<u8>, tree: &mut Tree, inodes: &mut BTreeMap<u64, Vec<u8>>) {
    let meta = at.symlink_metadata().unwrap();
    let (kind, content) = match meta.mode() & 0o170_000 {
        0o040_000 => ('d', Vec::new()),
        0o120_000 => ('l', std::fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec()),
        0o020_000 => ('c', Vec::new()),
        0o060_000 => ('b', Vec::new()),
        0o010_000 => ('p', Vec::new()),
        // What only a hole can have is not read.
        _ if meta.len() > 1 << 30 => ('f', meta.len().to_string().into_bytes()),
        _ => ('f', hash(&std::fs::read(at).unwrap_or_default())),
    };
    let device = if "cb".contains(kind) {
        (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()))
    } else {
        (0, 0)
    };
    let first = match kind {
        'd' => path.clone(),
        _ => inodes.entry(meta.ino()).or_insert_with(|| path.clone()).clone(),
    };
    let seen = Seen {
        kind,
        mode: if kind == 'l' { 0o777 } else { meta.mode() & 0o7777 },
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        device,
        xattrs: xattrs(at),
        content,
        first,
    };
    tree.insert(path.clone(), seen);
    if kind == 'd' {
        let mut names: Vec<_> =
            std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let mut below = path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name.as_bytes());
            walk(&at.join(&name), below, tree, inodes);
        }
    }
}

fn xattrs(at: &Path) -> Attributes {
    let mut list = vec![0; 65_536];
    let length = rustix::fs::llistxattr(at, list.as_mut_slice()).unwrap_or_default();
    let mut found = Attributes::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(at, name, value.as_mut_slice());
        let length = length.unwrap_or_else(|e| panic!("{at:?} {}: {e}", name.escape_ascii()));
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    found
}

/// What the index in memory says of a stack.
pub(crate) fn merged(merged: &Merged, source: &mut dyn LayerSource) -> Tree {
    let mut tree = Tree::new();
    let mut first: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let mut paths: Vec<_> = merged.numbered().collect();
    // The walk on disk goes down before it goes on, which is the order of the paths.
    paths.sort_by(|left, right| left.0.cmp(right.0));
    for (path, file, node) in paths {
        let entry = &node.entry;
        let name = path.as_bytes().to_vec();
        let mut bytes = Vec::new();
        if entry.kind == EntryKind::File {
            copy_content(source, node, Limits::default(), &mut bytes).unwrap();
        }
        let (kind, content) = match entry.kind {
            EntryKind::Directory => ('d', Vec::new()),
            EntryKind::Symlink => ('l', entry.link.clone()),
            EntryKind::CharDevice => ('c', Vec::new()),
            EntryKind::BlockDevice => ('b', Vec::new()),
            EntryKind::Fifo => ('p', Vec::new()),
            EntryKind::File | EntryKind::HardLink => ('f', hash(&bytes)),
        };
        let mut xattrs = entry.xattrs.clone();
        xattrs.retain(|name, _| !name.starts_with(b"trusted.overlay."));
        let seen = Seen {
            kind,
            mode: if kind == 'l' { 0o777 } else { entry.mode },
            owner: (entry.uid, entry.gid),
            mtime: (entry.mtime.seconds, entry.mtime.nanos.into()),
            device: (entry.device.major, entry.device.minor),
            xattrs,
            content,
            first: first.entry(file).or_insert_with(|| name.clone()).clone(),
        };
        tree.insert(name, seen);
    }
    tree
}

/// The differences of two trees, a line each, at most twenty.
pub(crate) fn differences(left: &Tree, right: &Tree) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    paths
        .into_iter()
        .filter(|path| left.get(*path) != right.get(*path))
        .map(|path| {
            let (left, right) = (left.get(path), right.get(path));
            format!("{}: {left:?} | {right:?}", path.escape_ascii())
        })
        .take(20)
        .collect()
}

/// Whether the test runs as root; told where not.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: {test} needs root");
    }
    root
}
