//! A tree copied into another directory: what is the same, what is left out, where it ends.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use corten_layer::{CopiedTree, CopyOwners, CopyTree, LayerError, Limits, copy_tree};
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};

fn copied(from: &Path, to: &Path, how: &CopyTree<'_>) -> Result<CopiedTree, LayerError> {
    let open = |path: &Path| fs::File::open(path).unwrap();
    copy_tree(open(from).as_fd(), open(to).as_fd(), how)
}

fn how(is_unwanted: &dyn Fn() -> bool) -> CopyTree<'_> {
    CopyTree { limits: Limits::default(), owners: CopyOwners::Caller, is_unwanted }
}

/// A scratch with the directories `from` and `to`.
fn two() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir_all(from.join("d/e")).unwrap();
    fs::create_dir(&to).unwrap();
    (scratch, from, to)
}

#[test]
fn a_copy_is_the_same_tree_without_devices() {
    let (scratch, from, to) = two();
    fs::write(from.join("d/file"), "text").unwrap();
    fs::set_permissions(from.join("d/file"), Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(from.join("d/file"), from.join("d/e/again")).unwrap();
    fs::write(scratch.path().join("outside"), "outside").unwrap();
    symlink("../outside", from.join("link")).unwrap();
    symlink("d", from.join("away")).unwrap();
    mkfifoat(CWD, from.join("pipe"), Mode::RUSR).unwrap();
    let sparse = fs::File::create(from.join("holes")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let device = mknodat(
        CWD,
        from.join("null"),
        FileType::CharacterDevice,
        Mode::RUSR,
        rustix::fs::makedev(1, 3),
    );
    fs::set_permissions(from.join("d"), Permissions::from_mode(0o1711)).unwrap();
    let done = copied(&from, &to, &how(&|| false)).unwrap();
    assert_eq!((done.entries, done.skipped), (8, u64::from(device.is_ok())));
    let meta = |path: &str| to.join(path).symlink_metadata().unwrap();
    assert_eq!(fs::read_to_string(to.join("d/file")).unwrap(), "text");
    assert_eq!((meta("d/file").mode() & 0o7777, meta("d").mode() & 0o7777), (0o4750, 0o1711));
    assert_eq!(meta("d/file").ino(), meta("d/e/again").ino());
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("../outside"));
    assert_eq!(meta("pipe").mode(), from.join("pipe").symlink_metadata().unwrap().mode());
    assert_eq!((meta("holes").len(), meta("holes").blocks()), (1 << 40, 0));
    let time = |path: &Path| path.symlink_metadata().unwrap().modified().unwrap();
    for name in ["d", "d/file", "link", "pipe", ""] {
        assert_eq!(time(&to.join(name)), time(&from.join(name)), "{name}");
    }
    assert!(to.join("null").symlink_metadata().is_err());
}

#[test]
fn a_copy_ends_at_its_limits_and_when_nobody_wants_it() {
    let (_scratch, from, to) = two();
    for number in 0..10 {
        fs::write(from.join(format!("d/e/{number}")), vec![1; 1000]).unwrap();
    }
    let limits = [
        ("entries", Limits { entries: 5, ..Limits::default() }),
        ("depth", Limits { depth: 2, ..Limits::default() }),
        ("unpacked", Limits { unpacked: 2500, ..Limits::default() }),
    ];
    for (name, limits) in limits {
        let (_scratch, _, to) = two();
        let error = copied(&from, &to, &CopyTree { limits, ..how(&|| false) }).unwrap_err();
        assert!(matches!(error, LayerError::Limit { what, .. } if what == name), "{error}");
    }
    let left = Cell::new(4);
    let is_unwanted = || left.replace(left.get().max(1) - 1) == 1;
    let error = copied(&from, &to, &how(&is_unwanted)).unwrap_err();
    assert!(
        matches!(error, LayerError::File { ref source, .. } if source.kind() == std::io::ErrorKind::Interrupted),
        "{error}"
    );
}
