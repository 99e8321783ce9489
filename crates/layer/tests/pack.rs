//! Packing trees: a directory and any tar of it give the same layer, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use corten_layer::{
    Compression, Entry, EntryKind, LayerError, LayerRule, Limits, Mtime, Owner, PackOptions,
    PackedTree, Precision, RootEntry, Tar, TarWriter, TreePath, pack_directory, pack_tar,
    spool_tar,
};

/// A tree with every kind of file that an ordinary user can make.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for directory in ["usr/bin", "usr/lib.d", "usr/lib/x", "etc", "empty"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    fs::write(at("usr/bin/tool"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(at("usr/bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(at("usr/bin/tool"), at("usr/bin/again")).unwrap();
    fs::write(at("usr/lib/x/data"), vec![7; 300_000]).unwrap();
    fs::write(at("usr/lib-a"), b"").unwrap();
    fs::write(at("etc/gr\u{fc}n"), b"name in UTF-8").unwrap();
    let long = format!("etc/{}", "l".repeat(200));
    fs::write(at(&long), b"long name").unwrap();
    symlink("../usr/bin/tool", at("etc/link")).unwrap();
    symlink("t".repeat(300), at("etc/long-link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("etc/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    root
}

fn options() -> PackOptions {
    PackOptions::new(Compression::Gzip)
}

fn from_directory(root: &Path, options: &PackOptions) -> (PackedTree, Vec<u8>) {
    pack_directory(root, options, Vec::new()).unwrap()
}

fn from_tar(tar: &[u8], options: &PackOptions) -> Result<(PackedTree, Vec<u8>), LayerError> {
    let mut spool = Cursor::new(Vec::new());
    spool_tar(tar, Limits::default(), &mut spool)?;
    spool.set_position(0);
    pack_tar(spool, options, Vec::new())
}

fn entries(layer: &[u8]) -> Vec<Entry> {
    let mut plain = Cursor::new(Vec::new());
    spool_tar(layer, Limits::default(), &mut plain).unwrap();
    plain.set_position(0);
    let mut tar = Tar::new(plain, Limits::default());
    let mut entries = Vec::new();
    while let Some(entry) = tar.next_entry().unwrap() {
        entries.push(entry);
    }
    entries
}

#[test]
fn a_directory_gives_a_canonical_layer() {
    let root = tree();
    let (packed, layer) = from_directory(root.path(), &options());
    let entries = entries(&layer);
    assert_eq!(packed.entries, entries.len() as u64);
    let long = format!("etc/{}", "l".repeat(200));
    let names: Vec<_> =
        entries.iter().map(|e| String::from_utf8(e.name.clone()).unwrap()).collect();
    let wanted = [
        "empty/",
        "etc/",
        "etc/gr\u{fc}n",
        "etc/link",
        &long,
        "etc/long-link",
        "etc/pipe",
        "usr/",
        "usr/bin/",
        "usr/bin/again",
        "usr/bin/tool",
        "usr/lib/",
        "usr/lib/x/",
        "usr/lib/x/data",
        "usr/lib-a",
        "usr/lib.d/",
    ];
    assert_eq!(names, wanted);
    let by_name = |name: &str| entries.iter().find(|e| e.name == name.as_bytes()).unwrap();
    let (first, again) = (by_name("usr/bin/again"), by_name("usr/bin/tool"));
    assert_eq!((first.kind, first.size, first.mode), (EntryKind::File, 10, 0o4755));
    assert_eq!(
        (again.kind, again.link.as_slice()),
        (EntryKind::HardLink, b"usr/bin/again".as_slice())
    );
    assert_eq!(by_name("etc/long-link").link, vec![b't'; 300]);
    assert_eq!(by_name("etc/pipe").kind, EntryKind::Fifo);
}

#[test]
fn a_tar_made_by_any_tool_gives_the_same_layer() {
    let root = tree();
    let (wanted, bytes) = from_directory(root.path(), &options());
    let work = tempfile::tempdir().unwrap();
    let python = "import sys,tarfile\n\
        f=tarfile.open(sys.argv[1],'w',format=getattr(tarfile,sys.argv[3]))\n\
        f.add(sys.argv[2],arcname='.')\nf.close()";
    let file = work.path().join("tree.tar");
    let (file, tree) = (file.to_str().unwrap(), root.path().to_str().unwrap());
    let makers: [&[&str]; 8] = [
        &["tar", "--format=gnu", "-cf", file, "-C", tree, "."],
        &["tar", "--format=pax", "-cf", file, "-C", tree, "."],
        &["tar", "--format=gnu", "-S", "-cf", file, "-C", tree, "."],
        &["tar", "--format=pax", "-czf", file, "-C", tree, "etc", "usr", "empty"],
        &["bsdtar", "--format=pax", "-cf", file, "-C", tree, "."],
        &["bsdtar", "--format=gnutar", "-cf", file, "-C", tree, "."],
        &["python3", "-c", python, file, tree, "PAX_FORMAT"],
        &["python3", "-c", python, file, tree, "GNU_FORMAT"],
    ];
    let mut made = 0;
    for maker in makers {
        let _ = fs::remove_file(file);
        let status = Command::new(maker[0]).args(&maker[1..]).status();
        if !status.is_ok_and(|status| status.success()) {
            continue;
        }
        made += 1;
        let (packed, again) = from_tar(&fs::read(file).unwrap(), &options()).unwrap();
        assert_eq!(packed.packed, wanted.packed, "{maker:?}");
        assert!(again == bytes, "{maker:?}");
    }
    // GNU tar is part of every Debian.
    assert!(made >= 3, "only {made} archives could be made");
}

#[test]
fn a_canonical_layer_stays_as_it_is() {
    let root = tree();
    let mut options = options();
    options.packing.compression = Compression::None;
    let (_, layer) = from_directory(root.path(), &options);
    let (_, again) = from_tar(&layer, &options).unwrap();
    assert!(layer == again);
}

#[test]
fn options_shape_the_entries() {
    let root = tree();
    let everything = PackOptions {
        latest_mtime: Some(1000),
        owner: Some(Owner { uid: 7, gid: 3_000_000 }),
        root: RootEntry::Keep,
        exclude: vec![TreePath::parse(b"usr").unwrap(), TreePath::parse(b"etc/link").unwrap()],
        ..options()
    };
    let (_, layer) = from_directory(root.path(), &everything);
    let entries = entries(&layer);
    assert_eq!(entries[0].name, b"./");
    assert!(entries.iter().all(|e| (e.uid, e.gid) == (7, 3_000_000)));
    assert!(entries.iter().all(|e| e.mtime == Mtime { seconds: 1000, nanos: 0 }));
    assert!(!entries.iter().any(|e| e.name.starts_with(b"usr") || e.name == b"etc/link"));
}

#[test]
fn exact_times_survive_when_asked() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(12, 345_000_000);
    File::create(&path).unwrap().set_modified(time).unwrap();
    let exact = PackOptions { precision: Precision::Nanoseconds, ..options() };
    for (options, nanos) in [(exact, 345_000_000), (options(), 0)] {
        let (_, layer) = from_directory(root.path(), &options);
        assert_eq!(entries(&layer)[0].mtime, Mtime { seconds: 12, nanos });
    }
}

#[test]
fn what_a_layer_cannot_hold_is_refused_or_reported() {
    let root = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let (packed, _) = from_directory(root.path(), &options());
    assert_eq!(packed.skipped, [TreePath::parse(b"socket").unwrap()]);
    drop(socket);
    fs::write(root.path().join(".wh.x"), b"").unwrap();
    let result = pack_directory(root.path(), &options(), Vec::new());
    assert_eq!(result.unwrap_err().rule(), Some(LayerRule::WhiteoutName));
}

#[test]
fn attributes_that_are_portable_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, b"x").unwrap();
    let set = |name, value: &[u8]| {
        rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty())
    };
    if set("user.keep", b"a=\n\0b").is_err() {
        println!("skipped: the filesystem of temporary files has no user attributes");
        return;
    }
    set("user.overlay.opaque", b"y").unwrap();
    let (_, layer) = from_directory(root.path(), &options());
    let xattrs = entries(&layer)[0].xattrs.clone();
    assert_eq!(
        xattrs.into_iter().collect::<Vec<_>>(),
        [(b"user.keep".to_vec(), b"a=\n\0b".to_vec())]
    );
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    entries.iter().for_each(|entry| writer.entry(entry).unwrap());
    writer.finish().unwrap()
}

fn file(name: &str) -> Entry {
    Entry::new(EntryKind::File, name)
}

fn link(name: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..Entry::new(EntryKind::HardLink, name) }
}

#[test]
fn trees_that_are_none_are_refused() {
    let directory = |name: &str| Entry::new(EntryKind::Directory, name);
    let cases = [
        (vec![file("../x")], LayerRule::ParentPath),
        (vec![file("/x")], LayerRule::AbsolutePath),
        (vec![file("x"), file("./x")], LayerRule::DuplicatePath),
        (vec![file("x"), directory("x")], LayerRule::DuplicatePath),
        (vec![file("x"), file("x/y")], LayerRule::BelowNonDirectory),
        (vec![file("x/y"), file("x")], LayerRule::BelowNonDirectory),
        (vec![link("a", "b"), file("b")], LayerRule::HardlinkTarget),
        (vec![directory("b"), link("a", "b")], LayerRule::HardlinkToDirectory),
        (vec![file("a/.wh.b")], LayerRule::WhiteoutName),
        (vec![file(".")], LayerRule::RootNotDirectory),
    ];
    for (entries, rule) in cases {
        let result = from_tar(&archive(&entries), &options());
        assert_eq!(result.unwrap_err().rule(), Some(rule), "{entries:?}");
    }
    let late = Entry { mode: 0o700, ..directory("x") };
    let (packed, layer) =
        from_tar(&archive(&[directory("x"), file("x/y"), late]), &options()).unwrap();
    assert_eq!((packed.entries, self::entries(&layer)[0].mode), (2, 0o700));
}

#[test]
fn links_follow_the_canonical_order() {
    let tar = archive(&[file("z"), link("m", "z"), link("a", "./m")]);
    let (_, layer) = from_tar(&tar, &options()).unwrap();
    let seen: Vec<_> = entries(&layer).into_iter().map(|e| (e.name, e.kind, e.link)).collect();
    assert_eq!(
        seen,
        [
            (b"a".to_vec(), EntryKind::File, b"".to_vec()),
            (b"m".to_vec(), EntryKind::HardLink, b"a".to_vec()),
            (b"z".to_vec(), EntryKind::HardLink, b"a".to_vec()),
        ]
    );
}

#[test]
fn limits_bound_a_tree() {
    let root = tree();
    let limits = Limits { entries: 3, ..Limits::default() };
    let result = pack_directory(root.path(), &PackOptions { limits, ..options() }, Vec::new());
    assert!(matches!(result, Err(LayerError::Limit { what: "entries", limit: 3, .. })));
    let limits = Limits { depth: 2, ..Limits::default() };
    let result = pack_directory(root.path(), &PackOptions { limits, ..options() }, Vec::new());
    assert!(matches!(result, Err(LayerError::Limit { what: "depth", limit: 2, .. })));
}
