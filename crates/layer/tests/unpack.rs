//! Stacks unpacked into a directory: the tree is the one that the index in memory describes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_lossless, clippy::print_stderr)]

mod tree;

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;

use corten_layer::{
    Applied, Apply, Contents, Device, Entry, EntryKind, LayerError, LayerRule, Limits, Merged,
    Mtime, Root, TarWriter, Whiteouts, apply, unpack,
};

fn source(stack: &[Vec<u8>]) -> impl FnMut(usize) -> io::Result<Box<dyn Read>> + use<> {
    let stack = stack.to_vec();
    move |layer| Ok(Box::new(io::Cursor::new(stack[layer].clone())) as Box<dyn Read>)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
        (self.0 >> 33) % limit
    }
}

const NAMES: [&str; 8] = ["a", "a/b", "a/b/c", "a/d", "e", "e/f", "g", ""];
const HIDES: [&str; 6] = [".wh.a", "a/.wh.b", "a/.wh..wh..opq", ".wh.e", "e/.wh.f", ".wh..wh..opq"];

/// Archives out of a few names, so that they meet: every kind, whiteouts, links, replaced parents.
fn random_layer(dice: &mut Dice) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for number in 0..dice.below(7) {
        let name = NAMES[dice.below(7) as usize];
        let mut entry = match dice.below(9) {
            0 => Entry::new(EntryKind::File, HIDES[dice.below(6) as usize]),
            1 | 2 => Entry::new(EntryKind::Directory, NAMES[dice.below(8) as usize]),
            3 => Entry::new(EntryKind::HardLink, name),
            4 => Entry::new(EntryKind::Symlink, name),
            5 => Entry::new(EntryKind::Fifo, name),
            6 => {
                let device = Device { major: 1, minor: dice.below(9) as u32 };
                Entry { device, ..Entry::new(EntryKind::CharDevice, name) }
            }
            _ => Entry::new(EntryKind::File, name),
        };
        if entry.name.is_empty() {
            entry.name = b"./".to_vec();
        }
        entry.mode = dice.below(0o10000) as u32;
        entry.uid = dice.below(5) as u32;
        entry.gid = dice.below(70_000) as u32;
        entry.mtime =
            Mtime { seconds: dice.below(1 << 31).cast_signed() - 9, nanos: number as u32 * 111 };
        match entry.kind {
            EntryKind::HardLink => entry.link = NAMES[dice.below(7) as usize].into(),
            EntryKind::Symlink => {
                entry.link = [&b"../../e"[..], b"/a", b"e"][dice.below(3) as usize].to_vec()
            }
            EntryKind::File | EntryKind::Directory if dice.below(3) == 0 => {
                entry.xattrs.insert(b"user.mark".to_vec(), vec![number as u8; 3]);
                entry.xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
            }
            _ => {}
        }
        let content = vec![number as u8; dice.below(3) as usize * 700];
        if entry.kind == EntryKind::File {
            entry.size = content.len() as u64;
            writer.file(&entry, content.as_slice()).unwrap();
        } else {
            writer.entry(&entry).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// The tree of a stack on disk, without the root, which is the caller's unless it has an entry.
fn unpacked(stack: &[Vec<u8>], stepwise: bool) -> Result<(tree::Tree, Applied), LayerError> {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let root = if stepwise { root.without_openat2() } else { root };
    let how = Apply::faithful(Whiteouts::Remove);
    let applied = unpack(&mut source(stack), stack.len(), &root, &how, Limits::default())?;
    Ok((tree::on_disk(directory.path()), applied))
}

#[test]
fn a_stack_on_disk_is_the_merged_tree() {
    if !tree::is_root("a_stack_on_disk_is_the_merged_tree") {
        return;
    }
    let mut dice = Dice(11);
    let (mut trees, mut refusals) = (0, 0);
    for round in 0..1500 {
        let stack: Vec<_> = (0..3).map(|_| random_layer(&mut dice)).collect();
        let merged = Merged::read(&mut source(&stack), 3, Contents::Skip, Limits::default());
        let disk = unpacked(&stack, round % 2 == 1);
        match (merged, disk) {
            (Ok(merged), Ok((mut disk, _))) => {
                let mut wanted = tree::merged(&merged, &mut source(&stack));
                if merged.find(b"/").unwrap().1.implied {
                    wanted.remove(b"".as_slice());
                    disk.remove(b"".as_slice());
                }
                let differences = tree::differences(&wanted, &disk);
                assert!(differences.is_empty(), "round {round}: {differences:#?}");
                trees += 1;
            }
            (Err(wanted), Err(error)) => {
                // A link to a directory that the same layer hides later is both.
                let link = |rule| match rule {
                    Some(LayerRule::HardlinkToDirectory) => Some(LayerRule::HardlinkTarget),
                    other => other,
                };
                let (wanted_rule, rule) = (link(wanted.rule()), link(error.rule()));
                assert_eq!(wanted_rule, rule, "round {round}: {wanted}, {error}");
                refusals += 1;
            }
            (wanted, disk) => {
                let wanted = wanted.map(|_| "a tree").map_err(|error| error.to_string());
                let disk = disk.map(|_| "a tree").map_err(|error| error.to_string());
                panic!("round {round}: {wanted:?} in memory, {disk:?} on disk");
            }
        }
    }
    assert!(trees > 200 && refusals > 200, "{trees} trees and {refusals} refusals");
}

#[test]
fn holes_stay_holes() {
    let mut writer = Vec::new();
    writer.extend_from_slice(&sparse_file());
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let how = Apply::ordinary(Whiteouts::Remove);
    let applied = apply(writer.as_slice(), &root, &how, Limits::default()).unwrap();
    let path = directory.path().join("sparse");
    let meta = path.metadata().unwrap();
    assert_eq!((meta.len(), applied.written), (1 << 32, 514));
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    let mut head = [1; 8];
    std::os::unix::fs::FileExt::read_at(&std::fs::File::open(path).unwrap(), &mut head, 4095)
        .unwrap();
    assert_eq!(&head, b"\0aaaaaaa");
}

#[path = "raw/mod.rs"]
mod raw;

fn sparse_file() -> Vec<u8> {
    let records = [
        "GNU.sparse.major=0",
        "GNU.sparse.minor=1",
        "GNU.sparse.size=4294967296",
        "GNU.sparse.map=4096,512,1000000,2,4294967296,0",
    ];
    raw::archive(&[raw::pax(b'x', &records), raw::file("sparse", &[b'a'; 514])])
}

#[test]
fn layers_that_are_small_alone_may_be_too_large_together() {
    let layer = |name: &str| {
        let mut writer = TarWriter::new(Vec::new());
        let entry = Entry { size: 5000, ..Entry::new(EntryKind::File, name) };
        writer.file(&entry, [7_u8; 5000].as_slice()).unwrap();
        writer.finish().unwrap()
    };
    let stack = vec![layer("a"), layer("b"), layer("c")];
    let one = stack[0].len() as u64;
    let run = |limits: Limits| {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let how = Apply::ordinary(Whiteouts::Remove);
        let unpacked = unpack(&mut source(&stack), 3, &root, &how, limits).map(drop);
        let merged = Merged::read(&mut source(&stack), 3, Contents::Skip, limits).map(drop);
        [unpacked, merged]
    };
    let enough = Limits { unpacked: one, image: 3 * one, ..Limits::default() };
    assert!(run(enough).iter().all(Result::is_ok));
    for image in [3 * one - 1, 2 * one, one] {
        for done in run(Limits { image, ..enough }) {
            let error = done.unwrap_err();
            let is_named =
                matches!(error, LayerError::Limit { what: "image", limit, .. } if limit == image);
            assert!(is_named, "{error}");
        }
    }
    let error = run(Limits { unpacked: one - 1, ..enough })[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("unpacked exceeds"), "{error}");
}

/// What `chown` reads as "leave it" is nobody's number.
#[test]
fn no_entry_belongs_to_nobody() {
    let text = |uid: &str, gid: &str| {
        let mut writer = TarWriter::new(Vec::new());
        let entry = Entry {
            uid: uid.parse().unwrap(),
            gid: gid.parse().unwrap(),
            ..Entry::new(EntryKind::File, "a")
        };
        writer.file(&entry, [].as_slice()).is_ok()
    };
    assert!(text("4294967294", "4294967294"));
    assert!(!text("4294967295", "0") && !text("0", "4294967295"));
    // In the header's own field, in base 256 as GNU tar writes it.
    let mut writer = TarWriter::new(Vec::new());
    writer.file(&Entry::new(EntryKind::File, "a"), [].as_slice()).unwrap();
    let plain = writer.finish().unwrap();
    for at in [108, 116] {
        let mut tar = plain.clone();
        tar[at..at + 8].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        tar[148..156].fill(b' ');
        let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let error =
            Merged::read(&mut source(&[tar]), 1, Contents::Skip, Limits::default()).err().unwrap();
        assert!(matches!(error, LayerError::Refused { rule: LayerRule::Number, .. }), "{error}");
    }
}
