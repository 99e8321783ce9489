//! Hostile archives applied to a directory, as root and as an ordinary user, in both forms of
//! whiteouts: nothing outside the directory may change, and the error names the entry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr, clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod archives;
mod bombs;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../tree/mod.rs"]
mod tree;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use archives::{Attack, Fate};
use corten_layer::{Apply, LayerError, Root, Whiteouts, apply, complete, unpack};

/// What an untouched file keeps, the time of the last change of its metadata included.
type Canary = BTreeMap<Vec<u8>, (tree::Seen, u64, u64, i64, i64)>;

fn canary(outer: &Path) -> Canary {
    let mut canary = Canary::new();
    for (path, seen) in tree::on_disk(&outer.join("canary")) {
        let at = outer.join("canary").join(std::str::from_utf8(&path).unwrap());
        let meta = at.symlink_metadata().unwrap();
        canary.insert(path, (seen, meta.ino(), meta.nlink(), meta.ctime(), meta.ctime_nsec()));
    }
    let mut names: Vec<_> =
        std::fs::read_dir(outer).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["canary", "inner"], "nothing new beside the canary");
    let names = std::fs::read_dir(outer.join("inner")).unwrap().count();
    assert_eq!(names, 1, "nothing new beside the root");
    canary
}

fn plant(outer: &Path) {
    std::fs::create_dir_all(outer.join("canary/directory")).unwrap();
    std::fs::create_dir_all(outer.join("inner/root")).unwrap();
    std::fs::write(outer.join("canary/secret"), "outside").unwrap();
    std::fs::write(outer.join("canary/directory/file"), "outside").unwrap();
    std::fs::set_permissions(outer.join("canary/secret"), PermissionsExt::from_mode(0o640))
        .unwrap();
    symlink("secret", outer.join("canary/link")).unwrap();
}

/// The rule, limit or action of an error.
fn code(error: &LayerError) -> String {
    match error {
        LayerError::Refused { rule, .. } => rule.code().to_owned(),
        LayerError::Limit { what, .. } => format!("limit {what}"),
        LayerError::Truncated { .. } => "truncated".to_owned(),
        LayerError::File { action, .. } => (*action).to_owned(),
        other => other.to_string(),
    }
}

/// Applies a stack: over each other, or each layer to a directory of its own.
fn strike(attack: &Attack, root: &Path, how: &Apply) -> Result<(), LayerError> {
    if how.whiteouts == Whiteouts::Remove {
        let mut source = |layer: usize| -> io::Result<Box<dyn Read>> {
            Ok(Box::new(io::Cursor::new(attack.layers[layer].clone())))
        };
        let root = Root::open(root).unwrap();
        return unpack(&mut source, attack.layers.len(), &root, how, attack.limits).map(drop);
    }
    let mut below: Vec<Root> = Vec::new();
    for (number, layer) in attack.layers.iter().enumerate() {
        let [path, above] = [number.to_string(), format!("{number}-over")].map(|n| root.join(n));
        std::fs::create_dir(&path).unwrap();
        std::fs::create_dir(&above).unwrap();
        let (layer_root, over) = (Root::open(&path).unwrap(), Root::open(&above).unwrap());
        let applied = apply(layer.as_slice(), &layer_root, how, attack.limits)?;
        complete(&applied.later, &layer_root, &below, &over, how.whiteouts)?;
        below.insert(0, layer_root);
        below.insert(0, over);
    }
    Ok(())
}

fn judge(attack: &Attack, how: &Apply, result: Result<(), LayerError>) -> Result<(), String> {
    let wanted = match attack.fate {
        Fate::Inside => None,
        Fate::NeedsRights(code, name) => {
            let overlay = how.whiteouts != Whiteouts::Remove;
            (overlay && !rustix::process::geteuid().is_root()).then_some((code, name))
        }
        Fate::Refused(code, name) => Some((code, name)),
    };
    match (wanted, result) {
        (None, Ok(())) => Ok(()),
        (Some((wanted, name)), Err(error)) => {
            let message = error.to_string();
            if code(&error) == wanted && message.contains(name) {
                Ok(())
            } else {
                Err(format!("{wanted} of '{name}' expected: {message} ({})", code(&error)))
            }
        }
        (wanted, result) => Err(format!("{wanted:?} expected: {result:?}")),
    }
}

/// The paths that an overlay would take for something else than what they are.
fn overlay_marks(root: &Path, how: &Apply) -> Vec<String> {
    let tree = tree::on_disk(root);
    let internal = |name: &Vec<u8>| {
        name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
    };
    // In a plain tree the device is but a device.
    let layer = how.whiteouts != Whiteouts::Remove;
    let marks = tree.iter().filter(|(_, seen)| {
        let whiteout = layer && seen.kind == 'c' && seen.device == (0, 0);
        whiteout || seen.xattrs.keys().any(internal)
    });
    marks.map(|(path, _)| path.escape_ascii().to_string()).collect()
}

fn run_all(how: &Apply) -> usize {
    let mut wrong = Vec::new();
    let attacks = archives::all();
    for attack in &attacks {
        let outer = tempfile::tempdir().unwrap();
        plant(outer.path());
        let before = canary(outer.path());
        let root = outer.path().join("inner/root");
        let result = strike(attack, &root, how);
        let applied = result.is_ok();
        if let Err(reason) = judge(attack, how, result) {
            wrong.push(format!("{}: {reason}", attack.name));
        }
        assert!(before == canary(outer.path()), "{}: the canary changed", attack.name);
        open_up(&root);
        if applied && attack.name.starts_with("overlay: ") {
            let marks = overlay_marks(&root, how);
            if !marks.is_empty() {
                wrong.push(format!("{}: overlay marks on {marks:?}", attack.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{how:?}: {wrong:#?}");
    eprintln!("{} archives, {:?}", attacks.len(), how.whiteouts);
    attacks.len()
}

/// Lets an ordinary user remove what the archives closed.
fn open_up(at: &Path) {
    let meta = at.symlink_metadata().unwrap();
    if meta.is_dir() {
        std::fs::set_permissions(at, PermissionsExt::from_mode(0o700)).unwrap();
        for entry in std::fs::read_dir(at).unwrap() {
            open_up(&entry.unwrap().path());
        }
    }
}

fn forms(user_xattr: bool) -> [Whiteouts; 2] {
    [Whiteouts::Remove, Whiteouts::Overlay { user_xattr }]
}

#[test]
fn nothing_escapes_as_root() {
    if !tree::is_root("nothing_escapes_as_root") {
        return;
    }
    for whiteouts in forms(false) {
        assert!(run_all(&Apply::faithful(whiteouts)) >= 60);
        run_all(&Apply::ordinary(whiteouts));
    }
}

#[test]
fn nothing_escapes_as_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        for whiteouts in forms(true) {
            assert!(run_all(&Apply::ordinary(whiteouts)) >= 60);
        }
        return;
    }
    // Again as someone who may do nothing, from a place that everyone can read.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let binary = place.path().join("escape");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
    let ran = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .arg(&binary)
        .args(["--exact", "nothing_escapes_as_an_ordinary_user", "--nocapture"])
        .env("TMPDIR", place.path())
        .current_dir(place.path())
        .output();
    let Ok(ran) = ran else {
        eprintln!("skipped: setpriv is missing");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
}

#[test]
fn a_directory_that_turns_into_a_link_meanwhile_leads_nowhere() {
    let outer = tempfile::tempdir().unwrap();
    plant(outer.path());
    let root = outer.path().join("inner/root");
    let before = canary(outer.path());
    let stop = AtomicBool::new(false);
    let entries: Vec<_> =
        (0..40).map(|n| raw::file(&format!("d/e{}/secret", n % 7), b"overwritten")).collect();
    let layer = raw::archive(&entries);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Whatever fails here fails because the other side was quicker.
                let _ = std::fs::rename(root.join("d"), root.join("aside"));
                let _ = symlink("../../canary", root.join("d"));
                let _ = std::fs::remove_file(root.join("d"));
                let _ = symlink("../../../canary", root.join("d/e1"));
                let _ = std::fs::rename(root.join("aside"), root.join("d"));
            }
        });
        for round in 0..150 {
            let handle = Root::open(&root).unwrap();
            let handle = if round % 2 == 0 { handle } else { handle.without_openat2() };
            let how = Apply::ordinary(Whiteouts::Remove);
            let _ = apply(layer.as_slice(), &handle, &how, corten_layer::Limits::default());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(before == canary(outer.path()), "the canary changed");
}
