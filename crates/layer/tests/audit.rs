//! Auditing a layer: every problem as a value, and the digests whatever is wrong inside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod raw;

use std::io::{Read, Write as _};

use corten_layer::{
    Audit, Compression, Entry, EntryKind, LayerError, LayerRule, Limits, Packer, Packing,
    TarWriter, audit, list,
};
use corten_spec::Digest;
use raw::{Header, archive, file, long, pax};

fn look(bytes: &[u8]) -> Audit {
    audit(bytes, Some(Compression::None), Limits::default()).unwrap()
}

/// Name and rule of each problem.
fn problems(audit: &Audit) -> Vec<(String, LayerRule)> {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    audit.problems.iter().map(|problem| (name(&problem.place.name), problem.rule)).collect()
}

#[track_caller]
fn found(parts: &[Vec<u8>], wanted: &[(&str, LayerRule)]) {
    let bytes = archive(parts);
    let audit = look(&bytes);
    let wanted: Vec<_> = wanted.iter().map(|(name, rule)| ((*name).to_owned(), *rule)).collect();
    assert_eq!(problems(&audit), wanted);
    let unpacked = audit.unpacked.expect("the whole layer was read");
    assert_eq!(unpacked.diff_id.0, Digest::sha256(&bytes));
    assert_eq!(unpacked.unpacked_size, bytes.len() as u64);
}

fn link(name: &str, target: &str) -> Vec<u8> {
    Header::new(b'1', name, 0).set(157, target.as_bytes()).block()
}

fn directory(name: &str) -> Vec<u8> {
    Header::new(b'5', name, 0).block()
}

#[test]
fn a_sound_layer_has_no_problems() {
    let parts = [
        directory("./"),
        directory("a/"),
        file("a/x", b"1"),
        link("a/y", "a/x"),
        file("a/.wh.old", b""),
        file("b/.wh..wh..opq", b""),
        pax(b'g', &["comment=x"]),
        pax(b'x', &["mtime=1.5"]),
        file("z", b""),
    ];
    found(&parts, &[]);
    assert_eq!(look(&archive(&parts)).entries, 7);
}

#[test]
fn every_rule_of_a_layer_is_told() {
    use LayerRule as Rule;
    found(&[file("a", b""), file("./a", b"")], &[("./a", Rule::DuplicatePath)]);
    found(&[directory("a/"), directory("a/")], &[("a/", Rule::DuplicatePath)]);
    found(&[file("/a", b"")], &[("/a", Rule::AbsolutePath)]);
    found(&[file("a/../b", b"")], &[("a/../b", Rule::ParentPath)]);
    found(&[file("a/.wh.", b"")], &[("a/.wh.", Rule::BareWhiteout)]);
    found(&[file(".wh..", b"")], &[(".wh..", Rule::WhiteoutOfDot)]);
    found(&[file(".wh.a", b"x")], &[(".wh.a", Rule::WhiteoutNotEmpty)]);
    found(&[file(".wh..wh..opq", b"x")], &[(".wh..wh..opq", Rule::WhiteoutNotEmpty)]);
    found(&[directory(".wh.a/")], &[(".wh.a/", Rule::WhiteoutNotRegular)]);
    found(&[file(".wh.a/b", b"")], &[(".wh.a/b", Rule::WhiteoutNotRegular)]);
    found(&[directory(".wh..wh.plnk")], &[(".wh..wh.plnk", Rule::ReservedWhiteout)]);
    found(&[link("a", "b"), file("b", b"")], &[("a", Rule::HardlinkTarget)]);
    found(&[link("a", "../b")], &[("a", Rule::ParentPath)]);
    found(&[directory("d"), link("a", "d")], &[("a", Rule::HardlinkToDirectory)]);
    found(&[file("a", b""), file("a/b", b"")], &[("a/b", Rule::BelowNonDirectory)]);
    found(&[file(".", b"")], &[(".", Rule::RootNotDirectory)]);
    let overlay = pax(b'x', &["SCHILY.xattr.trusted.overlay.opaque=y"]);
    found(&[overlay, directory("a")], &[("a", Rule::OverlayXattr)]);
    let sparse = pax(b'x', &["GNU.sparse.size=8", "GNU.sparse.map=0,4,8,0"]);
    found(&[sparse, file("a", b"abcd")], &[("a", Rule::SparseEntry)]);
}

#[test]
fn faults_after_which_the_archive_goes_on_do_not_end_the_audit() {
    use LayerRule as Rule;
    let strange = Header::new(b'Z', "strange", 4).with(b"what");
    let parts = [strange, file("slash/", b"x"), file("", b"y"), file("/abs", b""), file("ok", b"")];
    let wanted = [
        ("strange", Rule::UnknownType),
        ("slash/", Rule::SlashOnFile),
        ("", Rule::EmptyName),
        ("/abs", Rule::AbsolutePath),
    ];
    found(&parts, &wanted);
}

#[test]
fn a_fault_that_ends_the_reading_leaves_the_digests() {
    use LayerRule as Rule;
    let entry = file("a", b"");
    found(&[pax(b'x', &["size=512"]), entry.clone()], &[("a", Rule::SizeMismatch)]);
    let mixed = [long(b'L', b"n\0"), pax(b'x', &["path=p"]), entry.clone()];
    found(&mixed, &[("PaxHeaders/x", Rule::MixedExtensions)]);
    let lone = [entry.clone(), vec![0; 512], entry.clone()];
    found(&lone, &[("", Rule::LoneZeroBlock)]);
    let cut = &archive(std::slice::from_ref(&entry))[..512];
    assert_eq!(problems(&look(cut)), [(String::new(), Rule::MissingEnd)]);
    let cut = &file("a", &[1; 2000])[..1000];
    assert_eq!(problems(&look(cut)), [("a".to_owned(), Rule::Truncated)]);
}

fn packed(compression: Compression) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new(), Packing::new(compression)).unwrap();
    packer.write_all(&archive(&[file("a", &[7; 5000])])).unwrap();
    packer.finish().unwrap().1
}

#[test]
fn compression_that_was_not_announced_is_a_problem() {
    let bytes = packed(Compression::Zstd);
    let audit = audit(bytes.as_slice(), Some(Compression::Gzip), Limits::default()).unwrap();
    assert_eq!(problems(&audit), [(String::new(), LayerRule::CompressionMismatch)]);
    let unpacked = audit.unpacked.unwrap();
    assert_eq!(unpacked.compression, Compression::Zstd);
    assert_eq!(unpacked.digest, Digest::sha256(&bytes));
}

#[test]
fn a_damaged_stream_has_no_digests() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = packed(compression);
        bytes.truncate(bytes.len() - 6);
        let audit = audit(bytes.as_slice(), Some(compression), Limits::default()).unwrap();
        assert_eq!(audit.unpacked, None);
        assert_eq!(problems(&audit), [(String::new(), LayerRule::CompressedStream)]);
    }
}

#[test]
fn limits_are_problems_and_end_the_audit() {
    let bytes = archive(&[file("a", b""), file("b", b"")]);
    let limits = Limits { entries: 1, ..Limits::default() };
    let audit = audit(bytes.as_slice(), None, limits).unwrap();
    assert_eq!((audit.entries, audit.unpacked.is_none()), (1, true));
    assert_eq!(audit.problems[0].rule, LayerRule::LimitExceeded);
}

#[test]
fn problems_beyond_the_most_are_counted() {
    let parts: Vec<_> = (0..1203).map(|number| file(&format!("/{number}"), b"")).collect();
    let audit = look(&archive(&parts));
    assert_eq!((audit.problems.len(), audit.omitted), (1000, 203));
}

#[test]
fn a_source_that_fails_is_an_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let bytes = archive(&[file("a", &[0; 5000])]);
    let result = audit(bytes[..2000].chain(Failing), None, Limits::default());
    assert!(matches!(result, Err(LayerError::Read(_))), "{result:?}");
}

#[test]
fn a_listing_stops_where_it_is_told_to() {
    let mut writer = TarWriter::new(Vec::new());
    for name in ["a", "b"] {
        writer.entry(&Entry::new(EntryKind::File, name)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut names = Vec::new();
    let unpacked = list(bytes.as_slice(), None, Limits::default(), |entry| {
        names.push(entry.name);
        Ok(())
    });
    assert_eq!(unpacked.unwrap().digest, Digest::sha256(&bytes));
    assert_eq!(names, [b"a", b"b"]);
    let stop = |_| Err(std::io::Error::other("enough"));
    let result = list(bytes.as_slice(), None, Limits::default(), stop);
    assert!(matches!(result, Err(LayerError::Write(_))));
}
