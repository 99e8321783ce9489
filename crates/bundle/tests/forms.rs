//! Every form of a stack is one tree: what `unpack` makes, what the index shows, and what the
//! directories show under an overlay; or all three refuse. Needs root and a kernel that mounts
//! EROFS from files; elsewhere the tests are skipped, and say so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, clippy::panic)]
#![allow(clippy::cast_possible_truncation)]

#[path = "../../layer/tests/tree/mod.rs"]
mod tree;

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use corten_bundle::{Form, Powers, Purpose, RootMount, Snapshots, Writable};
use corten_layer::{
    Apply, Device, Entry, EntryKind, Limits, Mtime, Root, TarWriter, Whiteouts, unpack,
};
use corten_spec::{Algorithm, DiffId, Digest};
use corten_testkit::scratch;

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

/// A mount that is taken away with the test.
struct Seen(PathBuf);

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// All that stands behind an error, as one text.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(chain).unwrap_or_default();
    format!("{error}: {source}")
}

fn plain(stack: &[Vec<u8>], at: &Path) -> Result<tree::Tree, String> {
    std::fs::create_dir_all(at).unwrap();
    let mut source = |number: usize| -> std::io::Result<Box<dyn Read>> {
        Ok(Box::new(Cursor::new(stack[number].clone())))
    };
    let how = Apply::faithful(Whiteouts::Remove);
    let root = Root::open(at).unwrap();
    unpack(&mut source, stack.len(), &root, &how, Limits::default()).map_err(|e| chain(&e))?;
    Ok(without_links_outside(tree::on_disk(at)))
}

fn shown(
    stack: &[Vec<u8>],
    (form, algorithm): (Form, Algorithm),
    at: &Path,
) -> Result<tree::Tree, String> {
    let snapshots = Snapshots::open(&at.join("kept"), Limits::default(), Powers::Machine).unwrap();
    let mut diff_ids = Vec::new();
    for tar in stack {
        let diff_id = DiffId(Digest::of(algorithm, tar));
        snapshots.render(form, &diff_id, tar.as_slice()).map_err(|e| chain(&e))?;
        assert!(snapshots.has(form, &diff_id));
        diff_ids.push(diff_id);
    }
    let stacked = snapshots.stack(form, &diff_ids).map_err(|e| chain(&e))?;
    let target = at.join("root");
    std::fs::create_dir_all(&target).unwrap();
    let (writable, purpose) = (Writable::No, Purpose::Look);
    let mount = RootMount { target: target.clone(), writable, purpose };
    snapshots.mount(&stacked, &mount).unwrap();
    let seen = Seen(target);
    Ok(without_links_outside(tree::on_disk(&seen.0)))
}

/// Overlay shows its own attributes to nobody, and ours are read where they lie.
fn without_links_outside(mut tree: tree::Tree) -> tree::Tree {
    for seen in tree.values_mut() {
        seen.xattrs.retain(|name, _| !name.starts_with(b"user.overlay."));
    }
    tree
}

/// Whether the three forms are one tree; an error is told by its rule, at the end of its text.
fn agree(stack: &[Vec<u8>], algorithm: Algorithm) -> Result<bool, String> {
    let place = scratch();
    let wanted = plain(stack, &place.join("plain"));
    for form in [Form::Index, Form::Directories] {
        let seen = shown(stack, (form, algorithm), &place.join(format!("{form:?}")));
        match (&wanted, seen) {
            (Ok(wanted), Ok(mut seen)) => {
                let mut wanted = wanted.clone();
                if !says_root(stack) {
                    // Then it is the caller's own.
                    wanted.remove(b"".as_slice());
                    seen.remove(b"".as_slice());
                }
                let differences = tree::differences(&wanted, &seen);
                if !differences.is_empty() {
                    return Err(format!("{form:?}: {differences:#?}"));
                }
            }
            (Err(wanted), Err(error)) => {
                // Directories find the links that lead nowhere last, so they may name another entry.
                let named = form == Form::Directories && error.contains("entry '");
                // Of two broken entries each may be told, and a link to a directory that the same
                // layer hides later breaks two rules.
                let rule = |text: &str| {
                    let last = text.trim_end_matches(": ").rsplit(": ").next().unwrap().to_owned();
                    last.replace("names a directory", "names a file that is not there")
                };
                if !named && rule(&error) != rule(wanted) {
                    return Err(format!("{form:?}: {error} instead of {wanted}"));
                }
            }
            (wanted, seen) => {
                let wanted = wanted.as_ref().map(|_| "a tree");
                return Err(format!(
                    "{form:?}: {:?} instead of {wanted:?}",
                    seen.map(|_| "a tree")
                ));
            }
        }
    }
    Ok(wanted.is_ok())
}

fn says_root(stack: &[Vec<u8>]) -> bool {
    stack.iter().any(|layer| {
        let mut tar = corten_layer::Tar::new(layer.as_slice(), Limits::default());
        let mut found = false;
        while let Ok(Some(entry)) = tar.next_entry() {
            found |= entry.path().is_ok_and(|path| path.is_root());
        }
        found
    })
}

fn entry(kind: EntryKind, name: &str) -> Entry {
    Entry::new(kind, name)
}

fn directory(name: &str, mode: u32) -> Entry {
    let mtime = Mtime { seconds: 1_700_000_000 + i64::from(mode), nanos: 5 };
    let mut entry = Entry { mode, uid: 7, gid: 8, mtime, ..entry(EntryKind::Directory, name) };
    entry.xattrs.insert(b"user.mark".to_vec(), name.into());
    entry
}

fn file(name: &str) -> Entry {
    let mut entry = Entry { mode: 0o4751, uid: 5, gid: 6, ..entry(EntryKind::File, name) };
    entry.mtime.seconds = 1_600_000_000;
    entry.xattrs.insert(b"user.of".to_vec(), name.into());
    entry
}

fn hard(name: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(EntryKind::HardLink, name) }
}

fn symlink(name: &str, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(EntryKind::Symlink, name) }
}

fn gone(name: &str) -> Entry {
    entry(EntryKind::File, name)
}

fn layer(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    entries.iter().for_each(|entry| writer.entry(entry).unwrap());
    writer.finish().unwrap()
}

/// A stack, what it shows, and whether it is a tree at all.
type Case = (&'static str, bool, Vec<Vec<u8>>);

fn base() -> Vec<u8> {
    layer(&[directory("d", 0o700), file("d/f"), hard("d/g", "d/f"), file("top")])
}

fn links_down() -> Vec<Case> {
    let device = Entry { device: Device::default(), ..entry(EntryKind::CharDevice, "d/f") };
    vec![
        (
            "a device that overlay takes for a whiteout",
            false,
            vec![base(), layer(std::slice::from_ref(&device))],
        ),
        ("the same in the base", false, vec![layer(&[directory("d", 0o755), device])]),
        ("a link to a lower file", true, vec![base(), layer(&[hard("a", "d/f")])]),
        ("a link beside its lower file", true, vec![base(), layer(&[hard("d/a", "d/f")])]),
        ("links to links", true, vec![base(), layer(&[hard("a", "d/f"), hard("b", "a")])]),
        (
            "a link to a link of a layer between",
            true,
            vec![base(), layer(&[hard("a", "d/f")]), layer(&[hard("e/b", "a"), gone(".wh.top")])],
        ),
        (
            "a link to a lower symlink",
            true,
            vec![layer(&[symlink("s", "/etc/passwd")]), layer(&[hard("x/a", "s")])],
        ),
        ("a link to nothing", false, vec![base(), layer(&[hard("a", "d/none")])]),
        (
            "a link through a lower symlink",
            false,
            vec![
                layer(&[directory("d", 0o755), file("d/f"), symlink("s", "d")]),
                layer(&[hard("a", "s/f")]),
            ],
        ),
        ("a link to a lower directory", false, vec![base(), layer(&[hard("a", "d")])]),
        (
            "a link to what is hidden",
            false,
            vec![base(), layer(&[hard("a", "d/f"), gone("d/.wh.f")])],
        ),
        (
            "a link to what was hidden before",
            false,
            vec![base(), layer(&[gone("d/.wh.f")]), layer(&[hard("a", "d/f")])],
        ),
        (
            "a link to what is replaced then",
            true,
            vec![base(), layer(&[hard("a", "d/f"), file("d/f")])],
        ),
        ("a link that is replaced then", true, vec![base(), layer(&[hard("a", "d/f"), file("a")])]),
        (
            "a link that gives way to a directory",
            true,
            vec![base(), layer(&[hard("a", "d/f"), file("a/x"), hard("b", "d/g")])],
        ),
        (
            "a link over a lower directory",
            true,
            vec![layer(&[directory("e", 0o755), file("e/x"), file("f")]), layer(&[hard("e", "f")])],
        ),
    ]
}

fn implied_directories() -> Vec<Case> {
    vec![
        ("a directory that no entry stands for", true, vec![base(), layer(&[file("d/new")])]),
        (
            "several of them",
            true,
            vec![
                layer(&[
                    directory("a", 0o711),
                    directory("a/b", 0o750),
                    directory("a/b/c", 0o1777),
                ]),
                layer(&[file("a/b/c/x")]),
                layer(&[directory("a", 0o755), file("a/b/y")]),
            ],
        ),
        (
            "one over a lower symlink",
            true,
            vec![layer(&[directory("d", 0o755), symlink("l", "d")]), layer(&[file("l/x")])],
        ),
        ("one that is new", true, vec![base(), layer(&[file("n/m/x")]), layer(&[file("n/y")])]),
        ("one that is opaque", true, vec![base(), layer(&[file("d/new"), gone("d/.wh..wh..opq")])]),
        ("one that was hidden", true, vec![base(), layer(&[file("d/new"), gone(".wh.d")])]),
    ]
}

fn hidden_and_repeated() -> Vec<Case> {
    vec![
        ("a whiteout where nothing is", true, vec![base(), layer(&[gone("n/.wh.x"), file("o")])]),
        ("a whiteout in a lower directory alone", true, vec![base(), layer(&[gone("d/.wh.f")])]),
        ("an opaque lower directory alone", true, vec![base(), layer(&[gone("d/.wh..wh..opq")])]),
        (
            "a whiteout below a lower symlink",
            true,
            vec![
                layer(&[directory("d", 0o755), file("d/f"), symlink("l", "d")]),
                layer(&[gone("l/.wh.f"), gone("l/.wh..wh..opq")]),
            ],
        ),
        (
            "a directory that was a file for a while",
            true,
            vec![base(), layer(&[file("d"), directory("d", 0o711), file("d/x")])],
        ),
        (
            "a link below it",
            false,
            vec![base(), layer(&[file("d"), directory("d", 0o711), hard("x", "d/f")])],
        ),
        ("a layer that comes again", true, {
            let again = layer(&[directory("d", 0o711), file("d/g"), gone("d/.wh.f"), file("n/x")]);
            vec![base(), again.clone(), layer(&[file("d"), gone(".wh.n")]), again]
        }),
        (
            "an opaque root",
            true,
            vec![
                base(),
                layer(&[file("x"), file("d/y"), gone(".wh..wh..opq")]),
                layer(&[file("d/z")]),
            ],
        ),
        ("an empty layer, twice", true, vec![base(), layer(&[]), layer(&[])]),
        (
            "a root that the base alone names",
            true,
            vec![layer(&[directory("./", 0o711), file("x")]), layer(&[file("y")])],
        ),
    ]
}

#[test]
fn what_needs_the_layers_below_is_the_same_tree_in_every_form() {
    if !mounts() {
        return;
    }
    let mut wrong = Vec::new();
    for (name, is_tree, stack) in
        [links_down(), implied_directories(), hidden_and_repeated()].concat()
    {
        match agree(&stack, Algorithm::Sha256) {
            Ok(seen) if seen == is_tree => {}
            Ok(seen) => wrong.push(format!("{name}: a tree? {seen}")),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn diff_ids_of_other_algorithms_are_kept_in_both_forms() {
    if !mounts() {
        return;
    }
    let (_, _, stack) = links_down().remove(5);
    assert_eq!(agree(&stack, Algorithm::Sha512), Ok(true));
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
        (self.0 >> 33) % limit
    }
}

const NAMES: [&str; 8] = ["a", "a/b", "a/b/c", "a/d", "e", "e/f", "g", "./"];
const HIDES: [&str; 6] = [".wh.a", "a/.wh.b", "a/.wh..wh..opq", ".wh.e", "e/.wh.f", ".wh..wh..opq"];

/// Archives out of a few names, so that they meet.
fn random_layer(dice: &mut Dice) -> Vec<u8> {
    let mut entries = Vec::new();
    for number in 0..dice.below(6) {
        let name = NAMES[dice.below(7) as usize];
        let target = NAMES[dice.below(7) as usize];
        entries.push(match dice.below(8) {
            0 => gone(HIDES[dice.below(6) as usize]),
            1 | 2 => directory(NAMES[dice.below(8) as usize], 0o700 + number as u32),
            3 | 4 => hard(name, target),
            5 => symlink(name, target),
            6 => Entry {
                device: Device { major: 1, minor: 3 },
                ..entry(EntryKind::CharDevice, name)
            },
            _ => Entry { uid: number as u32, ..file(name) },
        });
    }
    layer(&entries)
}

#[test]
fn random_stacks_are_one_tree_in_every_form() {
    if !mounts() {
        return;
    }
    let mut dice = Dice(3);
    let (mut trees, mut refusals) = (0, 0);
    for round in 0..200 {
        let stack: Vec<_> = (0..3).map(|_| random_layer(&mut dice)).collect();
        match agree(&stack, Algorithm::Sha256) {
            Ok(true) => trees += 1,
            Ok(false) => refusals += 1,
            Err(error) => panic!("round {round}: {error} {}", listing(&stack)),
        }
    }
    assert!(trees > 30 && refusals > 30, "{trees} trees and {refusals} refusals");
}

fn listing(stack: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (number, layer) in stack.iter().enumerate() {
        let mut tar = corten_layer::Tar::new(layer.as_slice(), Limits::default());
        while let Ok(Some(entry)) = tar.next_entry() {
            let (name, link) = (entry.name.escape_ascii(), entry.link.escape_ascii());
            text += &format!("\n{number} {:?} {name} {link}", entry.kind);
        }
    }
    text
}
