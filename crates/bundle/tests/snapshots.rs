//! Layers made ready, mounted, kept, verified and taken away. What mounts needs root and a kernel
//! that mounts EROFS from files; elsewhere those tests are skipped, and say so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use corten_bundle::{Form, Powers, Purpose, RootMount, SnapshotError, Snapshots, Writable};
use corten_layer::{Apply, Limits, Root, Whiteouts, unpack};
use corten_spec::{Algorithm, DiffId, Digest};
use corten_testkit::{scratch, tar::TarMaker};

/// The names `one` and `two` of one file, a file that the upper layer hides, an opaque directory.
fn layers() -> Vec<Vec<u8>> {
    let base = TarMaker::new()
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, "root:x:0:0::/:/bin/sh\n")
        .file("etc/gone", 0o600, "gone")
        .directory("data", 0o700)
        .file("data/old", 0o644, vec![1; 513])
        .file("one", 0o4755, vec![2; 1024])
        .hard_link("two", "one")
        .symlink("dev", "/tmp")
        .file("empty", 0o644, "");
    let upper = TarMaker::new()
        .whiteout("etc", "gone")
        .directory("data", 0o711)
        .file("data/.wh..wh..opq", 0o644, "")
        .file("data/new", 0o644, vec![3; 5000]);
    vec![base.finish(), upper.finish()]
}

fn diff_id(tar: &[u8]) -> DiffId {
    DiffId(Digest::of(Algorithm::Sha256, tar))
}

fn opened(path: &Path) -> Snapshots {
    Snapshots::open(path, Limits::default(), Powers::Machine).unwrap()
}

fn rendered(snapshots: &Snapshots, form: Form) -> Vec<DiffId> {
    let tars = layers();
    for tar in &tars {
        snapshots.render(form, &diff_id(tar), tar.as_slice()).unwrap();
    }
    tars.iter().map(|tar| diff_id(tar)).collect()
}

/// Whether indexes can be mounted here; told where not.
fn mounts() -> bool {
    let scratch = scratch();
    let open = Snapshots::open(scratch.path(), Limits::default(), Powers::Machine).unwrap();
    // Asked twice: the second answer is that of the note.
    let mounts = [open.form(), open.form()] == [Form::Index; 2];
    if !mounts {
        eprintln!("skipped: EROFS cannot be mounted from files here");
    }
    mounts
}

/// Everything below `root` that a reader can tell of it; a name of a hard link with its first name.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let meta = std::fs::symlink_metadata(&full).unwrap();
        let mut text = format!("{:o} {}:{} {}", meta.mode(), meta.uid(), meta.gid(), meta.mtime());
        if meta.is_symlink() {
            text += &format!(" -> {}", std::fs::read_link(&full).unwrap().display());
        } else if meta.is_file() {
            let name = first.entry(meta.ino()).or_insert_with(|| path.clone());
            text += &format!(" {} {}", name.display(), meta.nlink());
            text += &Digest::of(Algorithm::Sha256, &std::fs::read(&full).unwrap()).to_string();
        } else if meta.is_dir() {
            let mut names: Vec<_> =
                std::fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            waiting.extend(names.into_iter().rev().map(|name| path.join(name)));
        }
        found.insert(path, text);
    }
    found
}

/// A mount that is taken away with the test.
struct Seen(PathBuf);

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn mounted(snapshots: &Snapshots, form: Form, at: &Path, purpose: Purpose) -> Seen {
    let stack = snapshots.stack(form, &rendered(snapshots, form)).unwrap();
    let target = at.join("root");
    std::fs::create_dir_all(&target).unwrap();
    let writable = match purpose {
        Purpose::Look => Writable::No,
        Purpose::Run | Purpose::Step => {
            Writable::Over { upper: at.join("upper"), work: at.join("work") }
        }
    };
    if let Writable::Over { upper, work } = &writable {
        std::fs::create_dir_all(upper).unwrap();
        std::fs::create_dir_all(work).unwrap();
    }
    snapshots.mount(&stack, &RootMount { target: target.clone(), writable, purpose }).unwrap();
    Seen(target)
}

#[test]
fn both_forms_show_the_tree_that_unpacking_makes() {
    if !mounts() {
        return;
    }
    let place = scratch();
    let tars = layers();
    let plain = place.join("plain");
    std::fs::create_dir(&plain).unwrap();
    let root = Root::open(&plain).unwrap();
    let mut source = |number: usize| -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(std::io::Cursor::new(tars[number].clone())))
    };
    let how = Apply::faithful(Whiteouts::Remove);
    unpack(&mut source, tars.len(), &root, &how, Limits::default()).unwrap();
    let snapshots = opened(&place.join("rendered"));
    for form in [Form::Index, Form::Directories] {
        let seen = mounted(&snapshots, form, &place.join(format!("{form:?}")), Purpose::Look);
        let (mut is, mut must) = (tree(&seen.0), tree(&plain));
        // Nothing in the archive says what the root is, so each maker chose its own time.
        is.remove(Path::new(""));
        must.remove(Path::new(""));
        assert_eq!(is, must, "{form:?}");
    }
}

#[test]
fn a_link_of_the_image_is_covered_where_a_runtime_mounts() {
    if !mounts() {
        return;
    }
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let seen = mounted(&snapshots, Form::Index, &place.join("c"), Purpose::Run);
    assert!(std::fs::symlink_metadata(seen.0.join("dev")).unwrap().is_dir());
    assert!(seen.0.join("etc/hosts").is_file());
    assert!(seen.0.join("etc/passwd").is_file());
    std::fs::write(seen.0.join("data/written"), "here").unwrap();
    let upper = place.join("c/upper/data/written");
    assert_eq!(std::fs::read_to_string(upper).unwrap(), "here");
}

#[test]
fn a_layer_that_is_not_its_diff_id_is_nowhere() {
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let (tar, wrong) = (layers().remove(0), diff_id(b"another"));
    for form in [Form::Index, Form::Directories] {
        if form == Form::Directories && !rustix::process::geteuid().is_root() {
            continue;
        }
        let error = snapshots.render(form, &wrong, tar.as_slice()).unwrap_err();
        assert!(matches!(&error, SnapshotError::Mismatch { diff_id, .. } if *diff_id == wrong));
        assert!(!snapshots.has(form, &wrong));
        let error = snapshots.stack(form, std::slice::from_ref(&wrong)).unwrap_err();
        assert!(matches!(error, SnapshotError::NotReady { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(place.join("rendered/staged")).unwrap().count(), 0);
}

#[test]
fn what_nobody_keeps_leases_or_used_is_collected() {
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Index);
    snapshots.stack(Form::Index, &stack).unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    let collect = |keep: &[Vec<DiffId>], grace| {
        let keep = || Ok::<_, corten_bundle::SnapshotError>(keep.to_vec());
        snapshots.collect(keep, Duration::from_secs(grace), later).unwrap().forms
    };
    assert_eq!(collect(&[], 3600), 0, "younger than the grace");
    assert_eq!(collect(std::slice::from_ref(&stack), 0), 0, "kept");
    let lease = snapshots.lease(&stack).unwrap();
    assert_eq!(collect(&[], 0), 0, "leased");
    drop(lease);
    snapshots.settle().unwrap();
    assert!(snapshots.has(Form::Index, &stack[0]), "settling takes nothing away");
    assert_eq!(std::fs::read_dir(place.join("rendered/unsynced")).unwrap().count(), 0);
    assert_eq!(collect(&[stack[..1].to_vec()], 0), 2, "the upper layer, and the index over both");
    assert!(snapshots.has(Form::Index, &stack[0]) && !snapshots.has(Form::Index, &stack[1]));
    assert_eq!(collect(&[], 0), 1);
}

#[test]
fn a_settled_file_is_guarded_by_the_kernel_and_one_that_is_put_in_its_place_is_found() {
    let place = scratch();
    if !corten_bundle::guards_files(place.path()) {
        eprintln!("skipped: no fs-verity here");
        return;
    }
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Index);
    snapshots.stack(Form::Index, &stack).unwrap();
    for folder in ["tars", "indexes"] {
        snapshots.settle().unwrap();
        snapshots.stack(Form::Index, &stack).unwrap();
        let entry = std::fs::read_dir(place.join("rendered").join(folder)).unwrap().next();
        let path = entry.unwrap().unwrap().path();
        let error = std::fs::File::options().write(true).open(&path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        // The same size and times, but without a guard and of other bytes.
        let (mut bytes, meta) = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap());
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(meta.modified().unwrap()).unwrap();
        let error = snapshots.stack(Form::Index, &stack).unwrap_err();
        assert!(matches!(error, corten_bundle::SnapshotError::Changed { .. }), "{error}");
        let damages = snapshots.verify(std::slice::from_ref(&stack), &|_| None).unwrap().damages;
        damages.iter().for_each(|damage| snapshots.discard(damage).unwrap());
        rendered(&snapshots, Form::Index);
        snapshots.stack(Form::Index, &stack).unwrap();
    }
}

#[test]
fn what_was_changed_before_it_was_settled_is_not_made_to_seem_well() {
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Index);
    let entry = std::fs::read_dir(place.join("rendered/tars")).unwrap().next();
    let path = entry.unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    snapshots.settle().unwrap();
    let error = snapshots.stack(Form::Index, &stack).unwrap_err();
    assert!(matches!(error, corten_bundle::SnapshotError::Changed { .. }), "{error}");
}

#[test]
fn what_an_earlier_boot_did_not_sync_is_not_believed() {
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Index);
    let note = std::fs::read_dir(place.join("rendered/unsynced")).unwrap().next().unwrap().unwrap();
    std::fs::write(note.path(), "another boot").unwrap();
    let believed = stack.iter().filter(|diff_id| snapshots.has(Form::Index, diff_id)).count();
    assert_eq!(believed, 1);
    assert_eq!(rendered(&snapshots, Form::Index), stack);
    assert!(stack.iter().all(|diff_id| snapshots.has(Form::Index, diff_id)));
}

#[test]
fn damage_is_found_and_mended() {
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Index);
    snapshots.stack(Form::Index, &stack).unwrap();
    let stacks = [stack.clone()];
    let verified = snapshots.verify(&stacks, &|_| None).unwrap();
    assert_eq!((verified.tars, verified.indexes, verified.damages.len()), (2, 1, 0));
    for folder in ["tars", "indexes"] {
        let entry = std::fs::read_dir(place.join("rendered").join(folder)).unwrap().next();
        let path = entry.unwrap().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let damages = snapshots.verify(&stacks, &|_| None).unwrap().damages;
        assert!(damages.iter().any(|damage| damage.path == path), "{damages:?}");
        damages.iter().for_each(|damage| snapshots.discard(damage).unwrap());
        rendered(&snapshots, Form::Index);
        snapshots.stack(Form::Index, &stack).unwrap();
        assert_eq!(snapshots.verify(&stacks, &|_| None).unwrap().damages, []);
    }
}

#[test]
fn damage_of_directories_is_found_and_mended() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives files to their owners");
        return;
    }
    let place = scratch();
    let snapshots = opened(&place.join("rendered"));
    let stack = rendered(&snapshots, Form::Directories);
    snapshots.stack(Form::Directories, &stack).unwrap();
    let stacks = [stack.clone()];
    let verified = snapshots.verify(&stacks, &|_| None).unwrap();
    assert_eq!((verified.unread, verified.directories), (2, 0));
    let tars = layers();
    let packed = |wanted: &DiffId| {
        let tar = tars.iter().find(|tar| diff_id(tar) == *wanted)?.clone();
        Some(Box::new(std::io::Cursor::new(tar)) as Box<dyn std::io::Read>)
    };
    let verified = snapshots.verify(&stacks, &packed).unwrap();
    assert_eq!((verified.unread, verified.directories, verified.damages), (0, 2, Vec::new()));
    let entries = std::fs::read_dir(place.join("rendered/directories")).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        // A directory gets one entry more, and a note one byte.
        let spoilt = if path.is_dir() { path.join("spoilt") } else { path.clone() };
        let mut bytes = std::fs::read(&spoilt).unwrap_or_default();
        bytes.push(b'x');
        std::fs::write(&spoilt, bytes).unwrap();
        let damages = snapshots.verify(&stacks, &packed).unwrap().damages;
        assert!(damages.iter().any(|damage| damage.path == path), "{path:?} {damages:?}");
        damages.iter().for_each(|damage| snapshots.discard(damage).unwrap());
        assert!(!path.exists());
        rendered(&snapshots, Form::Directories);
        snapshots.stack(Form::Directories, &stack).unwrap();
        assert_eq!(snapshots.verify(&stacks, &packed).unwrap().damages, []);
    }
    assert_eq!(std::fs::read_dir(place.join("rendered/staged")).unwrap().count(), 0);
}

#[test]
fn the_layers_of_an_image_have_a_limit_together() {
    let tars = layers();
    let sizes: Vec<u64> = tars.iter().map(|tar| tar.len() as u64).collect();
    let image = sizes[0] + sizes[1] - 1;
    for form in [Form::Index, Form::Directories] {
        let (scratch, limits) = (scratch(), Limits { image, ..Limits::default() });
        let snapshots = Snapshots::open(scratch.path(), limits, Powers::OneId).unwrap();
        snapshots.render(form, &diff_id(&tars[0]), tars[0].as_slice()).unwrap();
        // A clone works for the same image.
        let again = snapshots.clone().render(form, &diff_id(&tars[1]), tars[1].as_slice());
        let SnapshotError::Layer { source, .. } = again.unwrap_err() else { panic!("a limit") };
        assert!(
            source.to_string().ends_with(&format!("image exceeds the limit of {image}")),
            "{source}"
        );
        let other = Snapshots::open(scratch.path(), limits, Powers::OneId).unwrap();
        other.render(form, &diff_id(&tars[1]), tars[1].as_slice()).unwrap();
    }
}
