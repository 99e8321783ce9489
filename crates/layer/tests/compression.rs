//! Packing and unpacking: the same bytes whatever the number of threads, and every form of
//! compressed stream that is met.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use corten_layer::{Compression, Decoder, DiffReader, LayerError, Limits, Packed, Packer, Packing};
use corten_spec::Digest;
use flate2::write::GzEncoder;

/// Bytes that compress about as well as a root filesystem does, the same on every run.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = ["usr", "lib", "share", "python", "/", "\0", "libc.so.6", "==", "  ", "0123"];
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(words[(state % 10) as usize].as_bytes());
        if state.is_multiple_of(5) {
            bytes.extend_from_slice(&state.to_le_bytes());
        }
    }
    bytes.truncate(length);
    bytes
}

fn pack(bytes: &[u8], compression: Compression, threads: usize, piece: usize) -> (Packed, Vec<u8>) {
    let threads = NonZeroUsize::new(threads).unwrap();
    let packing = Packing { threads, ..Packing::new(compression) };
    let mut packer = Packer::new(Vec::new(), packing).unwrap();
    bytes.chunks(piece).for_each(|piece| packer.write_all(piece).unwrap());
    packer.finish().unwrap()
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut bytes = Vec::new();
    let mut decoder = Decoder::open(packed, None)?;
    decoder.read_to_end(&mut bytes).map_err(LayerError::from_io)?;
    Ok(bytes)
}

/// What a program makes of `input`; `None` where it is not installed.
fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(output.stdout)
}

#[test]
fn packed_bytes_depend_on_the_content_alone() {
    let long = content(9_000_000);
    for compression in [Compression::Gzip, Compression::Zstd] {
        for length in [0, 1, 262_143, 262_144, 262_145, 524_288, 9_000_000] {
            let bytes = &long[..length];
            let (packed, first) = pack(bytes, compression, 1, 1 << 20);
            assert_eq!(packed.diff_id.0, Digest::sha256(bytes));
            assert_eq!(packed.unpacked_size, length as u64);
            assert_eq!(packed.descriptor.digest, Digest::sha256(&first));
            assert_eq!(packed.descriptor.size, first.len() as u64);
            assert_eq!(packed.descriptor.media_type, compression.media_type());
            for (threads, piece) in [(2, 4096), (3, 77_777), (7, 3_000_000)] {
                let (_, again) = pack(bytes, compression, threads, piece);
                assert!(again == first, "{compression}, {length} bytes, {threads} threads");
            }
            assert!(unpack(&first).unwrap() == bytes, "{compression}, {length} bytes");
        }
    }
}

#[test]
fn other_programs_read_what_is_packed() {
    let bytes = content(3_000_000);
    for (compression, program) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let (_, packed) = pack(&bytes, compression, 2, 100_000);
        if let Some(unpacked) = filter(program, &["-dc"], &packed) {
            assert!(unpacked == bytes, "{program}");
        }
        if let Some(foreign) = filter(program, &["-c"], &bytes) {
            assert!(unpack(&foreign).unwrap() == bytes, "{program}");
        }
    }
}

#[test]
fn gzip_is_as_small_as_one_stream() {
    let bytes = content(3_000_000);
    let packing = Packing { level: Some(6), ..Packing::new(Compression::Gzip) };
    let mut packer = Packer::new(Vec::new(), packing).unwrap();
    packer.write_all(&bytes).unwrap();
    let (_, packed) = packer.finish().unwrap();
    let whole = gzip(&bytes);
    assert!(packed.len() < whole.len() + whole.len() / 100, "{} {}", packed.len(), whole.len());
}

#[test]
fn levels_change_the_size() {
    let bytes = content(1_000_000);
    for (compression, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 12)] {
        let size = |level| {
            let packing = Packing { level: Some(level), ..Packing::new(compression) };
            let mut packer = Packer::new(std::io::sink(), packing).unwrap();
            packer.write_all(&bytes).unwrap();
            packer.finish().unwrap().0.descriptor.size
        };
        assert!(size(high) < size(low), "{compression}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn many_members_and_zeros_at_the_end_are_one_stream() {
    let two = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
    assert_eq!(unpack(&two).unwrap(), b"one two");
    let padded = [two.clone(), vec![0; 100_000]].concat();
    assert_eq!(unpack(&padded).unwrap(), b"one two");
}

#[test]
fn many_frames_and_skippable_ones_are_one_stream() {
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
    let frames =
        [skippable.clone(), zstd(b"one "), skippable.clone(), zstd(b"two"), skippable].concat();
    assert_eq!(Compression::detect(&frames), Compression::Zstd);
    assert_eq!(unpack(&frames).unwrap(), b"one two");
}

#[test]
fn damage_is_told_from_a_source_that_fails() {
    let bytes = content(100_000);
    let packed = [gzip(&bytes), zstd(&bytes)];
    for whole in &packed {
        let cut = &whole[..whole.len() - 7];
        assert!(matches!(unpack(cut), Err(LayerError::Corrupt { .. })));
        let garbage = [whole.as_slice(), b"garbage"].concat();
        assert!(matches!(unpack(&garbage), Err(LayerError::Corrupt { .. })));

        let failing = whole[..whole.len() / 2].chain(Failing);
        let error = DiffReader::open(failing, None, Limits::default()).unwrap().finish();
        assert!(matches!(error, Err(LayerError::Read(_))), "{error:?}");
    }
    let mut flipped = gzip(&bytes);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    assert!(matches!(unpack(&flipped), Err(LayerError::Corrupt { .. })));
    let garbage = [gzip(&bytes), vec![0; 10], b"x".to_vec()].concat();
    assert!(matches!(unpack(&garbage), Err(LayerError::Corrupt { .. })));
}

/// A connection that breaks.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the cable was pulled"))
    }
}

#[test]
fn a_wrong_announcement_is_told() {
    let packed = gzip(b"x");
    let result = Decoder::open(packed.as_slice(), Some(Compression::Zstd));
    let (announced, found) = (Compression::Zstd, Compression::Gzip);
    match result.err() {
        Some(LayerError::Compression { announced: a, found: f }) => {
            assert_eq!((a, f), (announced, found));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_digests_come_with_the_content() {
    let bytes = content(3_000_000);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (packed, blob) = pack(&bytes, compression, 1, 1 << 16);
        let reader = DiffReader::open(blob.as_slice(), Some(compression), Limits::default());
        let unpacked = reader.unwrap().finish().unwrap();
        assert_eq!(unpacked.check(&packed.descriptor), Ok(()));
        assert_eq!(unpacked.diff_id, packed.diff_id);
        assert_eq!((unpacked.size, unpacked.unpacked_size), (blob.len() as u64, 3_000_000));
    }
}

#[test]
fn a_bomb_is_stopped_by_the_limit_on_unpacked_bytes() {
    let bomb = gzip(&vec![0; 2_000_000]);
    let limits = Limits { unpacked: 1_000_000, ..Limits::default() };
    match DiffReader::open(bomb.as_slice(), None, limits).unwrap().finish() {
        Err(LayerError::Limit { what: "unpacked", limit: 1_000_000, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_beyond_the_limit_is_refused() {
    // A frame header that asks for a window of 2^31 bytes, without content size or checksum.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let error = unpack(&frame).unwrap_err();
    assert!(matches!(error, LayerError::Limit { what: "window", .. }), "{error:?}");
}
