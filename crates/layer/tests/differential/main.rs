//! The same archives read by GNU tar, by bsdtar and by ours: all three make one tree, or ours
//! refuses. Where the two others differ and ours goes with one of them, a list says why, and so it
//! does of the very few archives that container engines read in a way of their own. The lists are
//! held to be true in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr, clippy::disallowed_methods)]

mod corpus;
mod expected;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../tree/mod.rs"]
mod tree;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use corten_layer::{Apply, EntryKind, LayerError, Limits, Root, Tar, Whiteouts, unpack};

use expected::{REFUSED, SIDES, Side};

/// What the other readers are called with to extract an archive faithfully.
const READERS: [(&str, &[&str]); 2] = [
    ("tar", &["--numeric-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf"]),
    ("bsdtar", &["--numeric-owner", "-xpf"]),
];

/// The tree that ours makes, or the code of the rule or limit it refuses with.
fn ours(bytes: &[u8]) -> Result<tree::Tree, String> {
    let place = tempfile::tempdir().unwrap();
    let mut source =
        |_: usize| -> io::Result<Box<dyn Read>> { Ok(Box::new(io::Cursor::new(bytes.to_vec()))) };
    let root = Root::open(place.path()).unwrap();
    let how = Apply::faithful(Whiteouts::Remove);
    match unpack(&mut source, 1, &root, &how, Limits::default()) {
        Ok(_) => Ok(comparable(tree::on_disk(place.path()), &named_directories(bytes))),
        Err(error) => Err(match &error {
            LayerError::Refused { rule, .. } => rule.code().to_owned(),
            LayerError::Limit { what, .. } => format!("limit {what}"),
            LayerError::Truncated { .. } => "truncated".to_owned(),
            LayerError::File { action, .. } => (*action).to_owned(),
            other => format!("{other:?}"),
        }),
    }
}

/// Of other directories the readers make up the times.
fn named_directories(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut named = BTreeSet::new();
    let mut tar = Tar::new(bytes, Limits::default());
    while let Ok(Some(entry)) = tar.next_entry() {
        if let (EntryKind::Directory, Ok(path)) = (entry.kind, entry.path()) {
            named.insert(path.as_bytes().to_vec());
        }
    }
    named
}

/// Whole seconds, and nothing that nobody said.
fn comparable(mut tree: tree::Tree, named: &BTreeSet<Vec<u8>>) -> tree::Tree {
    tree.retain(|path, _| !path.is_empty() || named.contains(path));
    for (path, seen) in &mut tree {
        seen.mtime.1 = 0;
        if seen.kind == 'd' && !named.contains(path) {
            seen.mtime.0 = 0;
        }
    }
    tree
}

/// The tree that another reader makes, and what it said.
fn theirs((program, arguments): (&str, &[&str]), bytes: &[u8]) -> (tree::Tree, String) {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("archive.tar");
    let root = place.path().join("root");
    std::fs::write(&archive, bytes).unwrap();
    std::fs::create_dir(&root).unwrap();
    let ran = Command::new(program)
        .args(arguments)
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).trim().replace('\n', "; ");
    (comparable(tree::on_disk(&root), &named_directories(bytes)), said)
}

/// Whether a reader is here. Where peers are required it has to be.
fn is_here(program: &str) -> bool {
    let here = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    let required = std::env::var_os("CORTEN_PEERS").is_some_and(|value| value == "required");
    assert!(here || !required, "{program} is required and not installed");
    here
}

#[test]
fn every_archive_is_one_tree_to_all_readers_or_is_refused() {
    let cases = corpus::all();
    assert!(cases.len() >= 100, "{} archives", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "each archive has a name of its own");
    let listed = REFUSED.iter().map(|(name, _)| name).chain(SIDES.iter().map(|(name, ..)| name));
    for name in listed {
        assert!(names.contains(name), "{name}: no such archive");
    }
    if !tree::is_root("every_archive_is_one_tree_to_all_readers_or_is_refused") {
        return;
    }
    let here = READERS.map(|(program, _)| is_here(program));
    let mut wrong = Vec::new();
    let (mut agreed, mut refused, mut skipped) = (0, 0, 0);
    for (name, bytes) in &cases {
        let wanted = REFUSED.iter().find(|(refused, _)| refused == name).map(|(_, code)| *code);
        let tree = match (ours(bytes), wanted) {
            (Err(code), Some(wanted)) if code == wanted => {
                refused += 1;
                continue;
            }
            (Ok(tree), None) => tree,
            (result, wanted) => {
                let result = result.map(|_| "a tree");
                wrong.push(format!("{name}: {result:?} instead of {wanted:?}"));
                continue;
            }
        };
        let side = SIDES.iter().find(|(listed, ..)| listed == name).map(|(_, side, _)| *side);
        for (number, reader) in READERS.into_iter().enumerate() {
            if !here[number] {
                skipped += 1;
                continue;
            }
            let (their, said) = theirs(reader, bytes);
            let differences = tree::differences(&tree, &their);
            let agrees = match side {
                None => true,
                Some(Side::Gnu) => number == 0,
                Some(Side::Neither) => false,
            };
            if differences.is_empty() != agrees {
                wrong.push(format!("{name}: {} ({said}) {differences:#?}", reader.0));
            }
        }
        agreed += 1;
    }
    eprintln!("{agreed} archives read, {refused} refused, {} by one side", SIDES.len());
    if skipped > 0 {
        eprintln!("skipped: {skipped} comparisons, for GNU tar or bsdtar is missing");
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The lists are about archives that exist, and `Path` is what the trees are read from.
#[test]
fn the_trees_of_two_directories_differ_where_they_do() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    std::fs::write(one.path().join("f"), "1").unwrap();
    std::fs::write(two.path().join("f"), "2").unwrap();
    let read = |path: &Path| comparable(tree::on_disk(path), &BTreeSet::new());
    assert_eq!(tree::differences(&read(one.path()), &read(two.path())).len(), 1);
}
