//! Indexes of anybody: what is read ends with a tree or an error, never with a panic. The superblock
//! is made right, so that the bytes behind it are looked at.

#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use corten_bundle::erofs::{DeviceInfo, Reader, visit, write};
use corten_layer::{Entry, EntryKind, Limits, Merged, TarWriter};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return };
    look(&framed(head, rest));
    // The same as changes to an index that is right: an offset and a byte each.
    let mut index = INDEX.clone();
    for change in bytes.chunks_exact(3) {
        let at = 1536 + usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = index.get_mut(at) {
            *byte = change[2];
        }
    }
    look(&index);
});

/// An index of every kind of file.
static INDEX: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut writer = TarWriter::new(Vec::new());
    let kinds = [EntryKind::Directory, EntryKind::Symlink, EntryKind::Fifo, EntryKind::CharDevice];
    for (number, kind) in kinds.into_iter().enumerate() {
        let mut entry = Entry::new(kind, format!("d/{number}"));
        entry.link = if kind == EntryKind::Symlink { b"target".to_vec() } else { Vec::new() };
        entry.device.minor = u32::from(kind == EntryKind::CharDevice);
        writer.entry(&entry).expect("it is in memory");
    }
    for number in 0..40 {
        let mut entry = Entry::new(EntryKind::File, format!("d/0/file{number}"));
        entry.size = number * 100;
        entry.xattrs.insert(b"user.name".to_vec(), vec![1; 9]);
        let content = vec![1; entry.size as usize];
        writer.file(&entry, content.as_slice()).expect("it is in memory");
    }
    let layer = writer.finish().expect("it is in memory");
    let mut tree = Merged::new(Limits::default());
    tree.add_plain(Cursor::new(&layer)).expect("a layer");
    let device = DeviceInfo { size: layer.len() as u64, digest: None };
    let mut out = Cursor::new(Vec::new());
    write(&tree, &[device], &mut out).expect("an index");
    out.into_inner()
});

fn look(bytes: &[u8]) {
    let Ok(reader) = Reader::new(bytes) else { return };
    let _ = reader.devices();
    let _ = visit(&reader, |_, inode| {
        let _ = (reader.link(inode), reader.extents(inode), reader.xattrs(inode));
        Ok(())
    });
}

/// `rest` as all that follows the superblock, of an index with the devices and inodes of `head`.
fn framed(head: &[u8; 8], rest: &[u8]) -> Vec<u8> {
    let devices = usize::from(head[0] % 4);
    let meta = (1536 + devices * 128).next_multiple_of(BLOCK);
    let mut bytes = vec![0; 1536];
    bytes.extend_from_slice(rest);
    bytes.resize(bytes.len().max(meta).next_multiple_of(BLOCK), 0);
    let blocks = (bytes.len() / BLOCK) as u32;
    let mut put = |at: usize, value: &[u8]| {
        bytes[1024 + at..][..value.len()].copy_from_slice(value);
    };
    put(0, &0xe0f5_e1e2_u32.to_le_bytes());
    put(8, &3_u32.to_le_bytes());
    put(12, &[9, 0]);
    put(14, &u16::from(head[1]).to_le_bytes());
    put(16, &u64::from(head[2]).to_le_bytes());
    put(36, &blocks.to_le_bytes());
    put(40, &((meta / BLOCK) as u32).to_le_bytes());
    put(80, &0xc_u32.to_le_bytes());
    put(86, &(devices as u16).to_le_bytes());
    put(88, &12_u16.to_le_bytes());
    let sum = crc32c(&bytes[1024..1536]).to_le_bytes();
    bytes[1028..1032].copy_from_slice(&sum);
    bytes
}

fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            (state >> 1) ^ (0x82f6_3b78 & (state & 1).wrapping_neg())
        })
    })
}
