//! A tree on disk, read whole: every path with all that a filesystem keeps of it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What is known of one path, by the name of the property.
type Entry = BTreeMap<&'static str, String>;

/// All paths of a tree, relative to its root, which is the empty path.
pub(crate) struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    pub(crate) fn read(root: impl AsRef<Path>) -> Self {
        let (mut entries, mut names) = (BTreeMap::new(), BTreeMap::new());
        read(root.as_ref(), PathBuf::new(), &mut entries, &mut names);
        for group in names.values().filter(|group: &&Vec<PathBuf>| group.len() > 1) {
            let all: Vec<_> = group.iter().map(|path| path.display().to_string()).collect();
            for path in group {
                entries.get_mut(path).unwrap().insert("names", all.join(" "));
            }
        }
        Self(entries)
    }

    /// How many paths there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a directory stands at this path.
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        self.0.get(Path::new(path)).is_some_and(|entry| entry["type"] == "directory")
    }

    /// Whether some entry has this property.
    pub(crate) fn has(&self, property: &str) -> bool {
        self.0.values().any(|entry| entry.contains_key(property))
    }

    /// What differs in `other`, a line each: the path, the property, and both values.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let empty = Entry::new();
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        for path in paths {
            let (here, there) = (self.0.get(path), other.0.get(path));
            let (here, there) = (here.unwrap_or(&empty), there.unwrap_or(&empty));
            let all: BTreeMap<_, _> = here.iter().chain(there).collect();
            for property in all.keys() {
                let (one, two) = (here.get(*property), there.get(*property));
                if one != two {
                    lines.push(format!("/{} {property}: {one:?}, {two:?}", path.display()));
                }
            }
        }
        lines
    }
}

fn read(
    place: &Path,
    path: PathBuf,
    entries: &mut BTreeMap<PathBuf, Entry>,
    names: &mut BTreeMap<(u64, u64), Vec<PathBuf>>,
) {
    let found = std::fs::symlink_metadata(place).unwrap();
    entries.insert(path.clone(), described(place, &found));
    if !found.is_dir() {
        names.entry((found.dev(), found.ino())).or_default().push(path);
        return;
    }
    let listed = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name());
    let mut listed: Vec<_> = listed.collect();
    listed.sort();
    for name in listed {
        read(&place.join(&name), path.join(&name), entries, names);
    }
}

fn described(place: &Path, found: &Metadata) -> Entry {
    let kind = found.file_type();
    let mut entry = Entry::from([
        ("mode", format!("{:o}", found.mode() & 0o7777)),
        ("owner", format!("{}:{}", found.uid(), found.gid())),
        ("mtime", format!("{}.{:09}", found.mtime(), found.mtime_nsec())),
    ]);
    let word = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => {
            entry.insert("target", std::fs::read_link(place).unwrap().display().to_string());
            "link"
        }
        () if kind.is_file() => {
            entry.insert("content", content(place));
            "file"
        }
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () => {
            entry.insert("number", found.rdev().to_string());
            if kind.is_block_device() { "block device" } else { "character device" }
        }
    };
    entry.insert("type", word.to_owned());
    if !kind.is_dir() {
        entry.insert("links", found.nlink().to_string());
    }
    let attributes = attributes(place);
    if !attributes.is_empty() {
        entry.insert("attributes", attributes);
    }
    entry
}

fn content(place: &Path) -> String {
    let (mut file, mut hash) = (File::open(place).unwrap(), Sha256::new());
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return format!("{:x?}", hash.finalize().as_slice()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn attributes(place: &Path) -> String {
    let mut list = vec![0_u8; 1 << 16];
    let length = rustix::fs::llistxattr(place, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut all: Vec<_> = names
        .map(|name| {
            let name = std::ffi::OsStr::from_bytes(name);
            let mut value = vec![0_u8; 1 << 16];
            let length = rustix::fs::lgetxattr(place, name, &mut value[..]).unwrap();
            format!("{}={:x?}", name.display(), &value[..length])
        })
        .collect();
    all.sort();
    all.join(" ")
}
