//! Archives on which readers disagree, and what the strict reader says to each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod raw;

use std::io::Read as _;

use corten_layer::{Entry, EntryKind, LayerError, LayerRule, Limits, Tar, TreePath};
use raw::{Header, archive, file, long, pax};

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, LayerError> {
    let mut tar = Tar::new(bytes, Limits::default());
    let mut entries = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let mut content = Vec::new();
        tar.read_to_end(&mut content).map_err(LayerError::from_io)?;
        entries.push((entry, content));
    }
    assert!(tar.next_entry()?.is_none(), "the end stays the end");
    Ok(entries)
}

fn names(parts: &[Vec<u8>]) -> Vec<String> {
    let entries = read(&archive(parts)).unwrap();
    entries.into_iter().map(|(entry, _)| String::from_utf8(entry.name).unwrap()).collect()
}

#[track_caller]
fn refused(parts: &[Vec<u8>], rule: LayerRule) {
    let error = read(&archive(parts)).err().unwrap_or_else(|| panic!("{rule} was not noticed"));
    assert_eq!(error.rule(), Some(rule), "{error}");
}

/// The archive that hides in the content of a file.
fn smuggled() -> Vec<u8> {
    archive(&[file("smuggled", b"evil")])
}

#[test]
fn a_pax_size_beside_an_empty_header_size_is_refused() {
    // CVE-2025-62518: readers that follow the header find the entries hidden in the content.
    let hidden = smuggled();
    let size = format!("size={}", hidden.len());
    let outer = Header::new(b'0', "outer", 0).with(&hidden);
    refused(&[pax(b'x', &[&size]), outer], LayerRule::SizeMismatch);
}

#[test]
fn a_pax_size_beside_another_header_size_is_refused() {
    // RUSTSEC-2026-0068 and -0112: the other way round.
    let hidden = smuggled();
    let outer = Header::new(b'0', "outer", hidden.len() as u64).with(&hidden);
    refused(&[pax(b'x', &["size=0"]), outer.clone()], LayerRule::SizeMismatch);
    refused(&[pax(b'x', &["size=512"]), outer.clone()], LayerRule::SizeMismatch);
    let size = format!("size={}", hidden.len());
    assert_eq!(names(&[pax(b'x', &[&size]), outer]), ["outer"]);
}

#[test]
fn a_size_that_no_header_can_express_may_stand_in_pax_alone() {
    let big = 0o777_7777_7777_u64 + 1;
    let bytes =
        [pax(b'x', &[&format!("size={big}")]), Header::new(b'0', "big", 0).block()].concat();
    let mut tar = Tar::new(bytes.as_slice(), Limits::default());
    assert_eq!(tar.next_entry().unwrap().unwrap().size, big);
    assert!(matches!(tar.next_entry(), Err(LayerError::Truncated { .. })));
    assert!(tar.next_entry().unwrap().is_none());
}

#[test]
fn pax_records_never_reach_a_gnu_header() {
    // GHSA-3cv2-h65g-fgmm, GHSA-3pv8-6f4r-ffg2: the size would apply to the long name.
    let entry = file("short", b"");
    let name = long(b'L', b"long\0");
    let link = long(b'K', b"long\0");
    for gnu in [name, link] {
        let records = pax(b'x', &["size=1024"]);
        refused(&[records.clone(), gnu.clone(), entry.clone()], LayerRule::MixedExtensions);
        refused(&[gnu.clone(), records, entry.clone()], LayerRule::MixedExtensions);
        let global = pax(b'g', &["comment=x"]);
        refused(&[gnu, global, entry.clone()], LayerRule::MixedExtensions);
    }
}

#[test]
fn a_name_from_two_places_is_refused() {
    let parts = [long(b'L', b"one\0"), pax(b'x', &["path=two"]), file("three", b"")];
    refused(&parts, LayerRule::MixedExtensions);
    let parts = [long(b'L', b"one\0"), long(b'L', b"two\0"), file("three", b"")];
    refused(&parts, LayerRule::RepeatedExtension);
    let parts = [pax(b'x', &["path=one"]), pax(b'x', &["path=two"]), file("three", b"")];
    refused(&parts, LayerRule::RepeatedExtension);
    let parts = [pax(b'x', &["path=one", "path=two"]), file("three", b"")];
    refused(&parts, LayerRule::PaxContradiction);
}

#[test]
fn global_records_may_say_nothing_about_entries() {
    let entry = file("a", b"");
    assert_eq!(names(&[pax(b'g', &["comment=0123"]), entry.clone()]), ["a"]);
    for record in ["path=b", "size=512", "mtime=1", "uid=0", "GNU.sparse.major=1"] {
        refused(&[pax(b'g', &[record]), entry.clone()], LayerRule::GlobalRecord);
    }
}

#[test]
fn entries_without_content_may_not_state_a_size() {
    for flag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let hidden = smuggled();
        let entry = Header::new(flag, "a", hidden.len() as u64).set(157, b"target").with(&hidden);
        refused(&[entry], LayerRule::SizeOnLink);
        let entry = Header::new(flag, "a", 0).set(157, b"target").block();
        refused(&[pax(b'x', &["size=512"]), entry.clone()], LayerRule::SizeMismatch);
        assert_eq!(names(&[entry]), ["a"]);
    }
}

#[test]
fn extensions_must_belong_to_an_entry() {
    for extension in [pax(b'x', &["path=a"]), long(b'L', b"a\0"), long(b'K', b"a\0")] {
        refused(std::slice::from_ref(&extension), LayerRule::DanglingExtension);
        assert_eq!(read(&extension).unwrap_err().rule(), Some(LayerRule::DanglingExtension));
    }
}

#[test]
fn malformed_extensions_are_refused_and_never_skipped() {
    let broken = Header::new(b'x', "p", 7).with(b"garbage");
    refused(&[broken, file("a", b"")], LayerRule::PaxRecord);
    refused(&[long(b'L', b"a\0b\0"), file("a", b"")], LayerRule::NulInName);
    refused(&[long(b'L', b"\0"), file("a", b"")], LayerRule::EmptyName);
    refused(&[pax(b'x', &["path=a\0b"]), file("a", b"")], LayerRule::NulInName);
    refused(&[pax(b'x', &["path="]), file("a", b"")], LayerRule::EmptyName);
}

#[test]
fn checksums_are_verified_signed_or_unsigned() {
    let mut wrong = file("a", b"");
    wrong[0] = b'b';
    refused(&[wrong], LayerRule::Checksum);
    let header = Header::new(b'0', "\u{fc}", 0).set(148, b"        ");
    let signed: i64 = header.0.iter().map(|byte| i64::from(byte.cast_signed())).sum();
    let header = header.set(148, format!("{signed:06o}\0 ").as_bytes());
    assert_eq!(names(&[header.0.to_vec()]), ["\u{fc}"]);
}

#[test]
fn numbers_may_not_be_negative_or_overflow() {
    let minus_one = [0xff; 12];
    let mut huge = [0xff; 12];
    huge[0] = 0x80;
    for (at, bytes) in [
        (124, minus_one.as_slice()),
        (124, &huge),
        (124, b"12345678901x"),
        (124, b"-0000000001\0"),
        (108, &minus_one[..8]),
        (116, &huge[..8]),
        (100, b"rw-r--r-"),
        (136, b"yesterday\0\0\0"),
        (136, &huge),
    ] {
        refused(&[Header::gnu(b'0', "a", 0).set(at, bytes).block()], LayerRule::Number);
    }
    let before_1970 = Header::gnu(b'0', "a", 0).set(136, &minus_one).block();
    let entries = read(&archive(&[before_1970])).unwrap();
    assert_eq!(entries[0].0.mtime.seconds, -1);
}

#[test]
fn the_end_of_the_archive_is_the_end() {
    let entry = file("a", b"x");
    let lone = [entry.clone(), vec![0; 512], file("b", b"")].concat();
    assert_eq!(read(&lone).unwrap_err().rule(), Some(LayerRule::LoneZeroBlock));
    let garbage = [archive(std::slice::from_ref(&entry)), b"garbage".to_vec()].concat();
    assert_eq!(read(&garbage).unwrap_err().rule(), Some(LayerRule::TrailingGarbage));
    let second = [archive(std::slice::from_ref(&entry)), archive(&[file("b", b"")])].concat();
    assert_eq!(read(&second).unwrap_err().rule(), Some(LayerRule::TrailingGarbage));
    for zeros in [0, 512, 700, 1024, 10_240] {
        let cut = [entry.clone(), vec![0; zeros]].concat();
        assert_eq!(read(&cut).unwrap().len(), 1, "{zeros} zeros");
    }
    assert!(read(b"").unwrap().is_empty());
}

#[test]
fn a_cut_archive_names_the_entry() {
    let whole = archive(&[file("first", &[1; 600]), file("second", &[2; 600])]);
    for length in [100, 512, 700, 1111, 1535, 1600, 2048, 3000] {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, LayerError::Truncated { .. }), "{length}: {error}");
    }
    let error = read(&whole[..1600]).unwrap_err();
    assert_eq!(error.to_string(), "entry at byte 1536: the archive ends before the entry does");
    let error = read(&whole[..2100]).unwrap_err();
    let wanted = "entry 'second' at byte 1536: the archive ends before the entry does";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn types_that_readers_do_not_share_are_refused() {
    for flag in [b'D', b'M', b'V', b'N', b'A', b'Z', b'8', 0xff] {
        refused(&[Header::gnu(flag, "a", 0).block()], LayerRule::UnknownType);
    }
    assert_eq!(names(&[Header::new(b'7', "contiguous", 0).block()]), ["contiguous"]);
}

#[test]
fn a_trailing_slash_makes_a_directory_only_before_posix() {
    let entries = read(&archive(&[Header::v7(0, "dir/", 0).block()])).unwrap();
    assert_eq!(entries[0].0.kind, EntryKind::Directory);
    refused(&[file("dir/", b"")], LayerRule::SlashOnFile);
    let plain = Header::v7(0, "dir", 0).block();
    refused(&[long(b'L', b"dir/\0"), plain], LayerRule::SlashOnFile);
    refused(&[Header::new(b'0', "", 0).block()], LayerRule::EmptyName);
    refused(&[Header::new(b'2', "link", 0).block()], LayerRule::EmptyName);
}

#[test]
fn the_prefix_is_one_only_in_posix() {
    let prefixed = Header::new(b'0', "name", 0).set(345, b"prefix").block();
    assert_eq!(names(&[prefixed]), ["prefix/name"]);
    for header in [Header::gnu(b'0', "name", 0), Header::v7(b'0', "name", 0)] {
        refused(&[header.set(345, b"prefix").block()], LayerRule::Dialect);
    }
    let odd = Header::new(b'0', "name", 0).set(257, b"ustar\0xy");
    assert_eq!(names(&[odd.clone().block()]), ["name"]);
    refused(&[odd.set(345, b"prefix").block()], LayerRule::Dialect);
    let star = Header::new(b'0', "name", 0).set(345, &[b'p'; 131]).set(508, b"tar\0");
    refused(&[star.block()], LayerRule::Dialect);
}

fn gnu_sparse(pieces: &[(u64, u64)], real: u64, stored: &[u8]) -> Vec<u8> {
    let mut header = Header::gnu(b'S', "sparse", stored.len() as u64);
    for (at, (offset, length)) in pieces.iter().enumerate() {
        let piece = format!("{offset:011o}\0{length:011o}\0");
        header = header.set(386 + 24 * at, piece.as_bytes());
    }
    header.set(483, format!("{real:011o}\0").as_bytes()).with(stored)
}

#[test]
fn sparse_files_are_read_with_their_holes() {
    // All pieces but the last fill their blocks, and the last one is where the file ends.
    let content = [&[b'a'; 512][..], b"cd"].concat();
    let wanted = [b"\0\0", &content[..512], b"\0cd\0"].concat();
    let old = gnu_sparse(&[(2, 512), (515, 2), (518, 0)], 518, &content);
    let zero_zero = [
        pax(
            b'x',
            &[
                "GNU.sparse.size=518",
                "GNU.sparse.numblocks=3",
                "GNU.sparse.offset=2",
                "GNU.sparse.numbytes=512",
                "GNU.sparse.offset=515",
                "GNU.sparse.numbytes=2",
                "GNU.sparse.offset=518",
                "GNU.sparse.numbytes=0",
            ],
        ),
        file("sparse", &content),
    ]
    .concat();
    let zero_one = [
        pax(
            b'x',
            &["GNU.sparse.size=518", "GNU.sparse.map=2,512,515,2,518,0", "GNU.sparse.name=sparse"],
        ),
        file("GNUSparseFile.0/sparse", &content),
    ]
    .concat();
    let mut stored = b"3\n2\n512\n515\n2\n518\n0\n".to_vec();
    stored.resize(512, 0);
    stored.extend_from_slice(&content);
    let one_zero = [
        pax(
            b'x',
            &[
                "GNU.sparse.major=1",
                "GNU.sparse.minor=0",
                "GNU.sparse.realsize=518",
                "GNU.sparse.name=sparse",
            ],
        ),
        file("GNUSparseFile.0/sparse", &stored),
    ]
    .concat();
    for form in [old, zero_zero, zero_one, one_zero] {
        let entries = read(&archive(&[form, file("next", b"n")])).unwrap();
        let (entry, content) = &entries[0];
        assert_eq!((entry.name.as_slice(), entry.size), (b"sparse".as_slice(), 518));
        assert_eq!(entry.sparse.as_ref().unwrap().len(), 3);
        assert_eq!(content, &wanted);
        assert_eq!(entries[1].0.name, b"next");
    }
}

#[test]
fn sparse_maps_that_do_not_fit_are_refused() {
    refused(&[gnu_sparse(&[(4, 2), (0, 2)], 8, b"abcd")], LayerRule::SparseMap);
    refused(&[gnu_sparse(&[(0, 2)], 8, b"abcd")], LayerRule::SparseMap);
    refused(&[gnu_sparse(&[(6, 4)], 8, b"abcd")], LayerRule::SparseMap);
    // Some readers would look for the second piece in a block of its own, or not see the end.
    refused(&[gnu_sparse(&[(0, 2), (6, 2)], 8, b"abcd")], LayerRule::SparseMap);
    refused(&[gnu_sparse(&[(0, 4)], 8, b"abcd")], LayerRule::SparseMap);
    refused(&[Header::new(b'S', "posix", 0).block()], LayerRule::SparseMap);
    for records in [
        ["GNU.sparse.major=2", "GNU.sparse.minor=0"].as_slice(),
        &["GNU.sparse.major=1", "GNU.sparse.minor=0"],
        &["GNU.sparse.size=8", "GNU.sparse.numblocks=2", "GNU.sparse.map=0,4"],
        &["GNU.sparse.map=0,4"],
        &["GNU.sparse.something=1"],
    ] {
        refused(&[pax(b'x', records), file("a", b"abcd")], LayerRule::SparseMap);
    }
}

#[test]
fn limits_are_named_in_the_error() {
    let one = |what: &'static str, limits: Limits, parts: &[Vec<u8>]| {
        let archive = archive(parts);
        let mut tar = Tar::new(archive.as_slice(), limits);
        let error = loop {
            match tar.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{what} was not noticed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, LayerError::Limit { what: w, .. } if *w == what), "{error}");
    };
    let limits = Limits::default();
    let two = [file("a", b""), file("b", b"")];
    one("entries", Limits { entries: 1, ..limits }, &two);
    one("path", Limits { path: 3, ..limits }, &[file("abcd", b"")]);
    one("path", Limits { path: 3, ..limits }, &[long(b'L', b"abcd\0"), file("a", b"")]);
    one("link", Limits { link: 3, ..limits }, &[long(b'K', b"abcd\0"), file("a", b"")]);
    one("depth", Limits { depth: 2, ..limits }, &[file("a/b/c", b"")]);
    one("pax", Limits { pax: 10, ..limits }, &[pax(b'x', &["comment=long"]), file("a", b"")]);
    let xattr = pax(b'x', &["SCHILY.xattr.user.a=0123456789"]);
    one("xattrs", Limits { xattrs: 8, ..limits }, &[xattr, file("a", b"")]);
    one("metadata", Limits { metadata: 8, ..limits }, &[file("name1", b""), file("name2", b"")]);
    one("unpacked", Limits { unpacked: 1000, ..limits }, &[file("a", &[0; 600])]);
    let bomb = gnu_sparse(&[(0, 4), (1 << 32, 0)], 1 << 32, b"abcd");
    one("unpacked", Limits { unpacked: 1 << 30, ..limits }, &[bomb]);
    one("unpacked", Limits { unpacked: 2000, ..limits }, &[file("a", b""), vec![0; 3000]]);
    // A header that promises a gigabyte of records does not get it.
    let promise = Header::new(b'x', "p", 1 << 30).block();
    one("pax", limits, &[promise]);
}

#[test]
fn hostile_bytes_never_panic() {
    let whole = archive(&[
        pax(b'x', &["path=a", "mtime=1.5", "SCHILY.xattr.user.k=v"]),
        file("a", b"abc"),
        gnu_sparse(&[(2, 4), (8, 0)], 8, b"abcd"),
        long(b'L', b"name\0"),
        Header::new(b'2', "link", 0).set(157, b"x").block(),
    ]);
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = usize::try_from(state % bytes.len() as u64).unwrap();
            bytes[at] = state.to_le_bytes()[5];
            fix_checksum(&mut bytes, at);
        }
        if let Ok(entries) = read(&bytes) {
            for (entry, content) in entries {
                assert_eq!(entry.size, content.len() as u64);
                let _ = entry.path().map(|path: TreePath| path.to_string());
            }
        }
    }
}

/// Makes the checksum of the block around `at` right again, so that what is behind it is reached.
fn fix_checksum(bytes: &mut [u8], at: usize) {
    let start = at / 512 * 512;
    let Some(block) = bytes.get_mut(start..start + 512) else { return };
    if block[257..262] == *b"ustar" {
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
