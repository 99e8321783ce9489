//! The upper directory of an overlay becomes a layer whose whiteouts say what its marks said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr)] // A test that was skipped must not look like one that passed.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use corten_layer::{Compression, Marks, PackOptions, Tar, TreePath, XattrChoice, pack_directory};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

fn names(root: &Path, exclude: &[&str]) -> Vec<String> {
    let exclude = exclude.iter().map(|path| TreePath::parse(path.as_bytes()).unwrap());
    let options = PackOptions {
        marks: Marks::Whiteouts,
        xattrs: XattrChoice::Trusted,
        exclude: exclude.collect(),
        ..PackOptions::new(Compression::None)
    };
    let (_, bytes) = pack_directory(root, &options, Vec::new()).unwrap();
    let mut tar = Tar::new(Cursor::new(bytes), corten_layer::Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = tar.next_entry().unwrap() {
        assert!(entry.xattrs.is_empty(), "{:?}", entry.xattrs);
        names.push(String::from_utf8(entry.name.clone()).unwrap());
    }
    names
}

fn device(path: &Path) -> bool {
    let made = mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0));
    if made.is_err() {
        eprintln!("skipped: this user makes no devices");
    }
    made.is_ok()
}

#[test]
fn devices_of_no_number_and_opaque_directories_are_whiteouts() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("new/below")).unwrap();
    fs::write(root.path().join("new/file"), "x").unwrap();
    if !device(&root.path().join("gone")) {
        return;
    }
    // As the kernel does it: one inode for all of them.
    fs::hard_link(root.path().join("gone"), root.path().join("new/gone")).unwrap();
    fs::create_dir(root.path().join("volume")).unwrap();
    fs::write(root.path().join("volume/secret"), "x").unwrap();
    setxattr(root.path().join("new"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let wanted = [".wh.gone", "new/", "new/.wh..wh..opq", "new/below/", "new/file", "new/.wh.gone"];
    let mut got = names(root.path(), &["volume"]);
    let mut wanted = wanted.map(|name| name.trim_end_matches('/').to_owned()).to_vec();
    got.iter_mut().for_each(|name| *name = name.trim_end_matches('/').to_owned());
    got.sort();
    wanted.sort();
    assert_eq!(got, wanted);
}

#[test]
fn the_form_of_ordinary_users_says_the_same() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("new")).unwrap();
    fs::write(root.path().join("new/gone"), "").unwrap();
    let set = |path: &str, name: &str, value: &[u8]| {
        setxattr(root.path().join(path), name, value, XattrFlags::empty())
    };
    if set("new", "user.overlay.opaque", b"x").is_err() {
        eprintln!("skipped: no attributes of users here");
        return;
    }
    set("new/gone", "user.overlay.whiteout", b"y").unwrap();
    assert_eq!(names(root.path(), &[]), ["new/", "new/.wh.gone"].map(str::to_owned));
    set("new", "user.overlay.opaque", b"y").unwrap();
    assert_eq!(names(root.path(), &[]), ["new/", "new/.wh..wh..opq", "new/.wh.gone"]);
}

#[test]
fn what_has_its_content_elsewhere_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("moved")).unwrap();
    let moved = root.path().join("moved");
    if setxattr(&moved, "user.overlay.redirect", b"/old", XattrFlags::empty()).is_err() {
        eprintln!("skipped: no attributes of users here");
        return;
    }
    let options = PackOptions { marks: Marks::Whiteouts, ..PackOptions::new(Compression::None) };
    let error = pack_directory(root.path(), &options, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("moved"), "{error}");
}
