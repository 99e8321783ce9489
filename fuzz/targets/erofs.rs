//! Indexes of ours: whatever tree an archive makes, what is written of it is read as that tree. The
//! bytes are taken as an archive, and as choices of which one is made.

#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;

use corten_bundle::erofs::{self, DeviceInfo, ErofsError, Reader};
use corten_layer::{Device, Entry, EntryKind, Limits, Merged, Mtime, Node, TarWriter};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    entries: 1_000,
    path: 4_096,
    link: 8_192,
    depth: 64,
    pax: 1 << 17,
    xattrs: 1 << 17,
    extents: 1_000,
    unpacked: 1 << 24,
    image: 1 << 24,
    ratio: 1_100,
    metadata: 8 << 20,
};

fuzz_target!(|bytes: &[u8]| {
    check(&[bytes.to_vec()]);
    let mut choices = Choices(bytes);
    check(&[choices.archive(), choices.archive()]);
});

fn check(layers: &[Vec<u8>]) {
    let mut tree = Merged::new(LIMITS);
    if layers.iter().any(|layer| tree.add_plain(Cursor::new(layer)).is_err()) {
        return;
    }
    let device = |layer: &Vec<u8>| DeviceInfo { size: layer.len() as u64, digest: None };
    let devices: Vec<_> = layers.iter().map(device).collect();
    let mut out = Cursor::new(Vec::new());
    let indexed = match erofs::write(&tree, &devices, &mut out) {
        Ok(indexed) => indexed,
        Err(ErofsError::Limit { .. } | ErofsError::Tree { .. }) => return,
        Err(error) => panic!("{error:?}"),
    };
    let index = out.into_inner();
    let mut places: Vec<Vec<u8>> = layers.to_vec();
    let mut aside = Cursor::new(Vec::new());
    let mut archives: Vec<_> = layers.iter().map(Cursor::new).collect();
    erofs::write_aside(&indexed.aside, &mut archives, &mut aside).expect("it is in memory");
    let mut aside = aside.into_inner();
    aside.resize(indexed.aside_bytes as usize, 0);
    places.push(aside);
    let reader = Reader::new(&index).expect("our own index");
    let mut numbers = BTreeMap::new();
    let mut wanted = tree.numbered();
    erofs::visit(&reader, |path, inode| {
        let (known, number, node) = wanted.next().expect("as many paths");
        assert_eq!(path, known);
        assert_eq!(*numbers.entry(inode.nid).or_insert(number), number, "{path}: another file");
        let entry = &node.entry;
        assert_eq!(
            (inode.kind, inode.mode, inode.uid, inode.gid, inode.mtime, inode.device),
            (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.device)
        );
        if entry.kind == EntryKind::Symlink {
            assert_eq!(reader.link(inode)?, entry.link);
        }
        if entry.kind == EntryKind::File {
            let mut seen = vec![0; inode.size as usize];
            for run in reader.extents(inode)? {
                let Some((device, at)) = run.source else { continue };
                let from = &places[usize::from(device) - 1][at as usize..];
                let length = (run.length as usize).min(from.len());
                seen[run.file as usize..][..length].copy_from_slice(&from[..length]);
            }
            assert!(seen == content(node, &layers[node.layer]), "{path}: another content");
        }
        let attributes = reader.xattrs(inode)?;
        for (name, value) in &attributes {
            let name = name
                .strip_prefix(b"trusted.overlay.overlay.")
                .map_or(name.clone(), |rest| [b"trusted.overlay.", rest].concat());
            assert_eq!(entry.xattrs.get(&name), Some(value), "{path}: another attribute");
        }
        Ok(())
    })
    .expect("our own index");
    assert!(wanted.next().is_none(), "paths are missing");
    assert_eq!(reader.inodes(), indexed.inodes);
}

fn content(node: &Node, layer: &[u8]) -> Vec<u8> {
    let entry = &node.entry;
    let mut content = vec![0; entry.size as usize];
    let mut at = entry.content as usize;
    let whole = [corten_layer::Extent { offset: 0, length: entry.size }];
    for piece in entry.sparse.as_deref().unwrap_or(&whole) {
        let length = piece.length as usize;
        content[piece.offset as usize..][..length].copy_from_slice(&layer[at..at + length]);
        at += length;
    }
    content
}

/// Bytes that decide.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let first = self.0.split_first();
        first.map_or(0, |(byte, rest)| {
            self.0 = rest;
            *byte
        })
    }

    fn name(&mut self) -> Vec<u8> {
        let byte = self.byte();
        let length = if byte & 0x80 == 0 { 1 } else { usize::from(byte) };
        let mut name = vec![b'a' + byte % 26; length];
        if byte & 0x40 != 0 {
            name.extend_from_slice(&[b'/', b'a' + self.byte() % 26]);
        }
        name
    }

    fn archive(&mut self) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for _ in 0..self.byte() % 32 {
            let kind = [
                EntryKind::File,
                EntryKind::Directory,
                EntryKind::HardLink,
                EntryKind::Symlink,
                EntryKind::Fifo,
                EntryKind::BlockDevice,
                EntryKind::File,
                EntryKind::Directory,
            ][usize::from(self.byte() % 8)];
            let mut entry = Entry::new(kind, self.name());
            entry.mode = u32::from(self.byte()) << 4;
            entry.uid = u32::from(self.byte()) << 20;
            let seconds = i64::from(self.byte()) - 128;
            entry.mtime = Mtime { seconds, nanos: u32::from(self.byte()) };
            match kind {
                EntryKind::HardLink => entry.link = self.name(),
                EntryKind::Symlink => entry.link = vec![b't'; 1 + 17 * usize::from(self.byte())],
                EntryKind::BlockDevice => {
                    entry.device = Device { major: 8, minor: u32::from(self.byte()) << 8 };
                }
                EntryKind::File => entry.size = u64::from(self.byte()) * 23,
                _ => {}
            }
            for number in 0..self.byte() % 3 {
                let length = usize::from(self.byte()) * 9;
                entry.xattrs.insert(format!("user.{number}").into_bytes(), vec![number; length]);
            }
            let content = vec![self.byte(); entry.size as usize];
            // What cannot be said in an archive is left out.
            let _ = writer.file(&entry, content.as_slice());
        }
        writer.finish().expect("it is in memory")
    }
}
