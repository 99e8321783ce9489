//! What an image is, in words that can be compared: its config and its tree, whoever built it.
//!
//! Left out is what says when or by which program it was made: times of configs and histories, digests of layers,
//! and of the tree the times of files, except where the case names an epoch, which all builders bring them down to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use corten_layer::{Contents, EntryKind, Limits, Merged, Node};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest content that is shown instead of its digest.
const SHOWN: u64 = 48;

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Its config, without what is of a time or a program.
    pub(crate) config: BTreeMap<String, Value>,
    /// Its history, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<String>,
    /// Its paths with what is there. What is as it is in the base is left out, where the base's busybox is.
    pub(crate) tree: BTreeMap<String, String>,
}

/// The tree of the base, which trees are told against.
pub(crate) struct Ground {
    tree: BTreeMap<String, String>,
    busybox: String,
}

/// Which files are told with their times.
pub(crate) type Timed = bool;

impl Ground {
    pub(crate) fn new(config: &Path, layers: &[std::path::PathBuf], timed: Timed) -> Self {
        let none = Self { tree: BTreeMap::new(), busybox: "none".to_owned() };
        let tree = Seen::read(config, layers, &none, timed).tree;
        let busybox = tree.get("/bin/busybox").unwrap().split_whitespace().last().unwrap();
        Self { busybox: busybox.to_owned(), tree }
    }
}

impl Seen {
    /// Reads an image from its blobs, the lowest layer first.
    pub(crate) fn read(
        config: &Path,
        layers: &[std::path::PathBuf],
        ground: &Ground,
        timed: Timed,
    ) -> Self {
        let config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
        let mut merged = Merged::new(Limits::default());
        let mut contents = BTreeMap::new();
        for path in layers {
            small_contents(path, &mut contents);
            merged.add(std::fs::File::open(path).unwrap(), Contents::Digest).unwrap();
        }
        let mut tree = listed(&merged, &contents, timed);
        let is_on_base = tree.get("/bin/busybox") == ground.tree.get("/bin/busybox");
        if is_on_base {
            for path in ground
                .tree
                .keys()
                .filter(|path| !tree.contains_key(*path))
                .cloned()
                .collect::<Vec<_>>()
            {
                tree.insert(path, "removed".to_owned());
            }
            tree.retain(|path, text| ground.tree.get(path) != Some(text));
        }
        for text in tree.values_mut() {
            // Which busybox a machine has is its own matter.
            *text = text.replace(&ground.busybox, "busybox");
        }
        let (history, config) = (history(&config), fields(&config));
        Self { config, history, tree }
    }

    /// What differs: each line says where, what is here, and what is there.
    pub(crate) fn differences(&self, other: &Self, with_history: bool) -> Vec<String> {
        let mut out = Vec::new();
        let text = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
        let keys: BTreeSet<_> = self.config.keys().chain(other.config.keys()).collect();
        for key in keys {
            let (own, its) = (self.config.get(key), other.config.get(key));
            if own != its {
                out.push(format!("config {key}: {} | {}", text(own), text(its)));
            }
        }
        let none = "none".to_owned();
        if with_history {
            for at in 0..self.history.len().max(other.history.len()) {
                let (own, its) = (self.history.get(at), other.history.get(at));
                if own != its {
                    let (own, its) = (own.unwrap_or(&none), its.unwrap_or(&none));
                    out.push(format!("history {at}: {own} | {its}"));
                }
            }
        }
        let paths: BTreeSet<_> = self.tree.keys().chain(other.tree.keys()).collect();
        for path in paths {
            let (own, its) = (self.tree.get(path), other.tree.get(path));
            if own != its {
                let (own, its) = (own.unwrap_or(&none), its.unwrap_or(&none));
                out.push(format!("{path}: {own} | {its}"));
            }
        }
        out
    }
}

/// The contents of small files of a layer, by their digests.
fn small_contents(layer: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    let file = std::fs::File::open(layer).unwrap();
    let reader = corten_layer::DiffReader::open(file, None, Limits::default()).unwrap();
    let mut tar = corten_layer::Tar::new(reader, Limits::default());
    while let Some(entry) = tar.next_entry().unwrap() {
        if entry.kind == EntryKind::File && entry.size <= SHOWN {
            let mut bytes = Vec::new();
            tar.read_to_end(&mut bytes).unwrap();
            let digest = corten_spec::Digest::of(corten_spec::Algorithm::Sha256, &bytes);
            into.insert(digest.to_string(), bytes);
        }
    }
}

fn listed(
    merged: &Merged,
    contents: &BTreeMap<String, Vec<u8>>,
    timed: Timed,
) -> BTreeMap<String, String> {
    let mut first: BTreeMap<usize, String> = BTreeMap::new();
    let mut tree = BTreeMap::new();
    for (path, number, node) in merged.numbered() {
        // Whether the root has an entry of its own says nothing of the tree.
        if path.is_root() && (node.implied || node.entry.mode == 0o755) {
            continue;
        }
        let name = path.as_bytes().escape_ascii().to_string();
        let name = format!("/{name}");
        let mut text = described(node, contents, timed);
        let before = first.entry(number).or_insert_with(|| name.clone());
        if *before != name {
            let _ = write!(text, " = {before}");
        }
        tree.insert(name, text);
    }
    tree
}

fn described(node: &Node, contents: &BTreeMap<String, Vec<u8>>, timed: Timed) -> String {
    let entry = &node.entry;
    let owner = format!("{}:{}", entry.uid, entry.gid);
    let mode = format!("{:04o}", entry.mode);
    let device = format!("{},{}", entry.device.major, entry.device.minor);
    let link = entry.link.escape_ascii();
    let mut text = match entry.kind {
        EntryKind::Symlink => format!("link {owner} -> {link}"),
        EntryKind::Directory => format!("dir {mode} {owner}"),
        EntryKind::Fifo => format!("fifo {mode} {owner}"),
        EntryKind::CharDevice => format!("char {mode} {owner} {device}"),
        EntryKind::BlockDevice => format!("block {mode} {owner} {device}"),
        EntryKind::File | EntryKind::HardLink => format!("file {mode} {owner} {}", entry.size),
    };
    for (name, value) in &entry.xattrs {
        let _ = write!(text, " {}={}", name.escape_ascii(), value.escape_ascii());
    }
    if timed {
        let _ = write!(text, " @{}", entry.mtime.seconds);
    }
    if let Some(digest) = &node.content {
        let digest = digest.to_string();
        match contents.get(&digest).map(Vec::as_slice) {
            Some([]) => {}
            Some(content) => {
                let _ = write!(text, " '{}'", content.escape_ascii());
            }
            None => {
                let _ = write!(text, " {}", &digest[..19]);
            }
        }
    }
    text
}

/// The config, flat; what is empty, as Go leaves out what is, and what is of the engine that made it, is not there.
fn fields(config: &Value) -> BTreeMap<String, Value> {
    const OF_ENGINES: [&str; 9] = [
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
    ];
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let none = Map::new();
    let run = config["config"].as_object().unwrap_or(&none);
    let mut fields: BTreeMap<String, Value> =
        run.iter().filter(|(key, _)| !OF_ENGINES.contains(&key.as_str())).map(own).collect();
    // The architecture is this machine's.
    for key in ["os", "author"] {
        fields.insert(key.to_owned(), config[key].clone());
    }
    if let Some(labels) = fields.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.remove("io.buildah.version");
    }
    fields.retain(|_, value| !is_empty(value));
    fields
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn history(config: &Value) -> Vec<String> {
    let rows = config["history"].as_array().cloned().unwrap_or_default();
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let layer = if row["empty_layer"] == true { "" } else { "+ " };
        format!("{layer}{} ({})", text("created_by"), text("comment"))
    };
    rows.iter().map(row).collect()
}
