//! Reading plain archives on disk: the same tree as from a stream, and what it takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_lossless)]

mod raw;

use std::io::Cursor;

use corten_layer::{
    Contents, Entry, EntryKind, Extent, LayerError, Limits, Merged, Node, Tar, TarWriter, TreePath,
};

type Seen = Vec<(TreePath, usize, Node)>;

/// Paths, files and which paths share one: the numbers themselves may differ.
fn seen(merged: &Merged) -> Seen {
    let mut order = Vec::new();
    let mut number = |file| {
        order.iter().position(|known| *known == file).unwrap_or_else(|| {
            order.push(file);
            order.len() - 1
        })
    };
    merged.numbered().map(|(path, file, node)| (path.clone(), number(file), node.clone())).collect()
}

fn both(layers: &[Vec<u8>]) -> (Result<Seen, String>, Result<Seen, String>) {
    let mut streamed = Merged::new(Limits::default());
    let mut plain = Merged::new(Limits::default());
    let all = |add: &mut dyn FnMut(&Vec<u8>) -> Result<(), LayerError>| {
        layers.iter().try_for_each(add).map_err(|error| error.to_string())
    };
    let first = all(&mut |layer| streamed.add(layer.as_slice(), Contents::Skip).map(drop));
    let second = all(&mut |layer| plain.add_plain(Cursor::new(layer)).map(drop));
    (first.map(|()| seen(&streamed)), second.map(|()| seen(&plain)))
}

/// Archives out of a few names, so that they meet: every kind, whiteouts, links, replaced parents.
fn random_layer(dice: &mut u64) -> Vec<u8> {
    let mut roll = |below: u64| {
        *dice =
            dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % below
    };
    const NAMES: [&str; 7] = ["a", "a/b", "a/b/c", "a/d", "e", "e/f", "g"];
    const HIDES: [&str; 5] = [".wh.a", "a/.wh.b", "a/.wh..wh..opq", ".wh.e", "e/.wh.f"];
    let mut writer = TarWriter::new(Vec::new());
    for _ in 0..roll(6) {
        let name = NAMES[roll(7) as usize];
        let entry = match roll(6) {
            0 => Entry::new(EntryKind::File, HIDES[roll(5) as usize]),
            1 | 2 => Entry::new(EntryKind::Directory, name),
            3 => {
                let link = NAMES[roll(7) as usize].as_bytes().to_vec();
                Entry { link, ..Entry::new(EntryKind::HardLink, name) }
            }
            4 => Entry { link: b"e".to_vec(), ..Entry::new(EntryKind::Symlink, name) },
            _ => Entry { mode: 0o600 + roll(8) as u32, ..Entry::new(EntryKind::File, name) },
        };
        writer.entry(&entry).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_plain_archive_makes_the_tree_that_its_stream_makes() {
    let mut dice = 7;
    let (mut trees, mut refusals) = (0, 0);
    for round in 0..4000 {
        let layers: Vec<_> = (0..3).map(|_| random_layer(&mut dice)).collect();
        let (streamed, plain) = both(&layers);
        assert_eq!(streamed, plain, "round {round}");
        if streamed.is_ok() { trees += 1 } else { refusals += 1 }
    }
    assert!(trees > 300 && refusals > 300, "{trees} trees and {refusals} refusals");
}

#[test]
fn contents_are_jumped_over_and_found_again() {
    let mut writer = TarWriter::new(Vec::new());
    let sizes = [0_u64, 1, 511, 512, 513, 4095, 4096, 5000, 200_000, 3];
    for (number, size) in sizes.iter().enumerate() {
        let entry = Entry { size: *size, ..Entry::new(EntryKind::File, format!("f{number}")) };
        writer.file(&entry, vec![number as u8; *size as usize].as_slice()).unwrap();
    }
    let archive = writer.finish().unwrap();
    let mut merged = Merged::new(Limits::default());
    assert_eq!(merged.add_plain(Cursor::new(&archive)).unwrap(), sizes.len() as u64);
    for (number, size) in sizes.iter().enumerate() {
        let (_, node) = merged.find(format!("f{number}").as_bytes()).unwrap();
        let content = &archive[node.entry.content as usize..][..*size as usize];
        assert_eq!((node.entry.size, node.entry.sparse.as_ref()), (*size, None));
        assert!(content.iter().all(|byte| *byte == number as u8), "f{number}");
    }
}

#[test]
fn an_archive_cut_inside_a_content_is_refused_by_name() {
    let entry = Entry { size: 100_000, ..Entry::new(EntryKind::File, "big") };
    let mut writer = TarWriter::new(Vec::new());
    writer.file(&entry, vec![1; 100_000].as_slice()).unwrap();
    let mut archive = writer.finish().unwrap();
    for length in [600, 5_000, 100_511] {
        archive.truncate(length.max(512));
        let mut tar = Tar::seekable(Cursor::new(&archive[..length]), Limits::default()).unwrap();
        tar.next_entry().unwrap();
        let error = tar.next_entry().unwrap_err();
        assert!(matches!(&error, LayerError::Truncated { entry } if entry.name == b"big"));
        archive.resize(200_000, 0);
    }
}

#[test]
fn the_map_of_a_sparse_file_is_kept() {
    let records = raw::pax(
        b'x',
        &[
            "GNU.sparse.major=0",
            "GNU.sparse.minor=1",
            "GNU.sparse.size=1000000",
            "GNU.sparse.map=4096,512,500000,2,1000000,0",
        ],
    );
    let archive = raw::archive(&[records, raw::file("sparse", &[b'a'; 514])]);
    let (streamed, plain) = both(std::slice::from_ref(&archive));
    assert_eq!(streamed, plain);
    let seen = plain.unwrap();
    let entry = &seen[1].2.entry;
    let map = [(4096, 512), (500_000, 2), (1_000_000, 0)];
    let map = map.map(|(offset, length)| Extent { offset, length });
    assert_eq!(entry.sparse.as_deref(), Some(map.as_slice()));
    assert_eq!(&archive[entry.content as usize..][..514], &[b'a'; 514]);
}

#[test]
fn limits_hold_for_plain_archives_too() {
    let mut writer = TarWriter::new(Vec::new());
    for number in 0..10 {
        writer.entry(&Entry::new(EntryKind::File, format!("f{number}"))).unwrap();
    }
    let archive = writer.finish().unwrap();
    let mut merged = Merged::new(Limits { entries: 9, ..Limits::default() });
    let error = merged.add_plain(Cursor::new(&archive)).unwrap_err();
    assert!(matches!(error, LayerError::Limit { what: "entries", .. }));
    // Two layers that hold too much only together.
    let mut merged = Merged::new(Limits { entries: 15, ..Limits::default() });
    merged.add_plain(Cursor::new(&archive)).unwrap();
    let error = merged.add_plain(Cursor::new(&archive)).unwrap_err();
    assert!(matches!(error, LayerError::Limit { what: "entries", limit: 15, .. }), "{error}");
}
