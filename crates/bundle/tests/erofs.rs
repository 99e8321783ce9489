//! Indexes of random trees, read back: by our own reader, by the kernel, and by `fsck.erofs` of the
//! peers, which all see the tree that was written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, clippy::panic)]
#![allow(clippy::cast_possible_truncation, dead_code)]

#[path = "../../layer/tests/raw/mod.rs"]
mod raw;
#[path = "../../layer/tests/tree/mod.rs"]
mod tree;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use corten_bundle::erofs::{self, DeviceInfo, ErofsError, Reader};
use corten_layer::{Device, Entry, EntryKind, Limits, Merged, Mtime, TarWriter, TreePath};
use corten_testkit::{Dice, Peer, Scratch, scratch};

fn below(dice: &mut Dice, limit: u64) -> u64 {
    dice.below(limit)
}

/// A name: mostly one that others have too, sometimes as long or as strange as can be.
fn name(dice: &mut Dice) -> Vec<u8> {
    let plain = [&b"a"[..], b"b", b"a.b", b"a-b", b"B", b"zz", b"d", b"e", b"-", b"~"];
    match below(dice, 12) {
        0 => vec![b'n'; 200 + below(dice, 56) as usize],
        1 => vec![0xff, 0xfe, 1 + below(dice, 31) as u8],
        number if number < 5 => format!("f{}", below(dice, 90)).into_bytes(),
        _ => plain[below(dice, 10) as usize].to_vec(),
    }
}

fn path(dice: &mut Dice) -> Vec<u8> {
    let depth = 1 + below(dice, 3);
    (0..depth).map(|_| name(dice)).collect::<Vec<_>>().join(&b'/')
}

fn attributes(dice: &mut Dice, entry: &mut Entry) {
    for number in 0..below(dice, 4) {
        let prefix = ["user.", "trusted.", "security.x", "user.overlay.", "trusted.overlay."]
            [below(dice, 5) as usize];
        let length = [0, 1, 3, 4, 60, 450, 1200][below(dice, 7) as usize];
        let value = vec![number as u8 + 1; length];
        entry.xattrs.insert(format!("{prefix}{number}").into_bytes(), value);
    }
}

/// A file with holes: pieces on borders of blocks, or at any byte.
fn sparse(dice: &mut Dice, name: &[u8]) -> Vec<u8> {
    let unit = [512, 4096, 1][below(dice, 3) as usize];
    let (mut at, mut pieces, mut content) = (0, Vec::new(), Vec::new());
    for number in 0..below(dice, 4) {
        at += unit * below(dice, 9);
        let length = 512 * (1 + below(dice, 4));
        pieces.extend_from_slice(format!("{at:011o}\0{length:011o}\0").as_bytes());
        content.resize(content.len() + length as usize, number as u8 + 1);
        at += length;
    }
    at += unit * below(dice, 9);
    if pieces.len() < 96 {
        pieces.extend_from_slice(format!("{at:011o}\0{:011o}\0", 0).as_bytes());
    }
    let size = format!("{at:011o}\0");
    let header = raw::Header::gnu(b'S', "", content.len() as u64);
    let name = &name[..name.len().min(90)];
    header.set(0, name).set(386, &pieces).set(483, size.as_bytes()).with(&content)
}

fn random_layer(dice: &mut Dice) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    let mut tail = Vec::new();
    let mut files: Vec<Vec<u8>> = Vec::new();
    for number in 0..below(dice, 40) {
        let path = path(dice);
        let mut entry = match below(dice, 12) {
            0 | 1 => Entry::new(EntryKind::Directory, path),
            2 => {
                let length = [1, 5, 59, 400, 512, 600, 4095][below(dice, 7) as usize];
                Entry { link: vec![b't'; length], ..Entry::new(EntryKind::Symlink, path) }
            }
            3 => Entry::new(EntryKind::Fifo, path),
            4 => {
                let (major, minor) = (1 + below(dice, 4095) as u32, below(dice, 1 << 20) as u32);
                let kind = [EntryKind::CharDevice, EntryKind::BlockDevice][number as usize % 2];
                Entry { device: Device { major, minor }, ..Entry::new(kind, path) }
            }
            5 if !files.is_empty() => {
                let link = files[below(dice, files.len() as u64) as usize].clone();
                Entry { link, ..Entry::new(EntryKind::HardLink, path) }
            }
            6 => {
                tail.push(sparse(dice, &path));
                continue;
            }
            7 => {
                let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                let name = [&path[..at], b".wh.", &path[at..]].concat();
                Entry::new(EntryKind::File, name)
            }
            _ => {
                files.push(path.clone());
                let size = [0, 1, 511, 512, 513, 5000, 70_000][below(dice, 7) as usize];
                Entry { size, ..Entry::new(EntryKind::File, path) }
            }
        };
        entry.mode = below(dice, 0o10000) as u32;
        entry.uid = [0, 1, 65_536, u32::MAX - 1][below(dice, 4) as usize];
        entry.gid = below(dice, 70_000) as u32;
        let seconds = [0, -1, -(1 << 40), 1_700_000_000, 1 << 33][below(dice, 5) as usize];
        entry.mtime = Mtime { seconds, nanos: below(dice, 1_000_000_000) as u32 };
        if entry.kind != EntryKind::HardLink {
            attributes(dice, &mut entry);
        }
        let content = vec![number as u8; entry.size as usize];
        // What cannot be written is left out.
        let _ = writer.file(&entry, content.as_slice());
    }
    let mut bytes = writer.finish().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tail.concat());
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

/// An index with what it points into.
struct Made {
    layers: Vec<Vec<u8>>,
    tree: Merged,
    index: Vec<u8>,
    aside: Vec<u8>,
}

/// The index of a stack; `None` where the layers make no tree.
fn made(layers: Vec<Vec<u8>>) -> Option<Made> {
    let mut tree = Merged::new(Limits::default());
    for layer in &layers {
        tree.add_plain(Cursor::new(layer)).ok()?;
    }
    let device = |layer: &Vec<u8>| DeviceInfo { size: layer.len() as u64, digest: None };
    let devices: Vec<_> = layers.iter().map(device).collect();
    let mut index = Cursor::new(Vec::new());
    let indexed = erofs::write(&tree, &devices, &mut index).unwrap();
    let mut aside = Cursor::new(Vec::new());
    let mut archives: Vec<_> = layers.iter().map(Cursor::new).collect();
    erofs::write_aside(&indexed.aside, &mut archives, &mut aside).unwrap();
    let mut aside = aside.into_inner();
    aside.resize(indexed.aside_bytes as usize, 0);
    let index = index.into_inner();
    assert_eq!(index.len() as u64, indexed.bytes);
    Some(Made { layers, tree, index, aside })
}

/// The tree that must be seen. What is no attribute of a file system is seen by nobody, and the
/// test does not look at those that were escaped.
fn wanted(made: &Made) -> tree::Tree {
    let layers = made.layers.clone();
    let mut source = move |layer: usize| -> std::io::Result<Box<dyn Read>> {
        Ok(Box::new(Cursor::new(layers[layer].clone())))
    };
    let mut wanted = tree::merged(&made.tree, &mut source);
    wanted.values_mut().for_each(without_overlay);
    for seen in wanted.values_mut().filter(|seen| !"fd".contains(seen.kind)) {
        // The kernel lets nobody read those there.
        seen.xattrs.retain(|name, _| !name.starts_with(b"user."));
    }
    wanted
}

fn without_overlay(seen: &mut tree::Seen) {
    seen.xattrs.retain(|name, _| !name.starts_with(b"trusted.overlay."));
}

/// What our reader sees, links counted.
fn read(made: &Made) -> Result<tree::Tree, ErofsError> {
    let reader = Reader::new(&made.index)?;
    let mut devices: Vec<&[u8]> = made.layers.iter().map(Vec::as_slice).collect();
    devices.push(&made.aside);
    let mut tree = tree::Tree::new();
    let mut first: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut links: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    erofs::visit(&reader, |path, inode| {
        let (kind, content) = match inode.kind {
            EntryKind::Directory => ('d', Vec::new()),
            EntryKind::Symlink => ('l', reader.link(inode)?),
            EntryKind::CharDevice => ('c', Vec::new()),
            EntryKind::BlockDevice => ('b', Vec::new()),
            EntryKind::Fifo => ('p', Vec::new()),
            EntryKind::File | EntryKind::HardLink => {
                let mut content = vec![0; inode.size as usize];
                for run in reader.extents(inode)? {
                    let Some((device, at)) = run.source else { continue };
                    // The last block may be longer than its archive.
                    let from = &devices[usize::from(device) - 1][at as usize..];
                    let length = (run.length as usize).min(from.len());
                    content[run.file as usize..][..length].copy_from_slice(&from[..length]);
                }
                ('f', tree::hash(&content))
            }
        };
        let name = path.as_bytes().to_vec();
        let count = links.entry(inode.nid).or_insert((inode.links, 0));
        count.1 += if kind == 'd' { 2 } else { 1 };
        if kind == 'd' && !path.is_root() {
            let (parent, _) = path.split().unwrap();
            let parent = first.iter().find(|(_, name)| name.as_slice() == parent.as_bytes());
            links.get_mut(parent.unwrap().0).unwrap().1 += 1;
        }
        let mut seen = tree::Seen {
            kind,
            mode: if kind == 'l' { 0o777 } else { inode.mode },
            owner: (inode.uid, inode.gid),
            mtime: (inode.mtime.seconds, inode.mtime.nanos.into()),
            device: (inode.device.major, inode.device.minor),
            xattrs: reader.xattrs(inode)?,
            content,
            first: first.entry(inode.nid).or_insert_with(|| name.clone()).clone(),
        };
        without_overlay(&mut seen);
        tree.insert(name, seen);
        Ok(())
    })?;
    assert!(links.values().all(|(told, counted)| told == counted), "{links:?}");
    Ok(tree)
}

/// The files of an index on disk.
struct OnDisk {
    place: Scratch,
    index: PathBuf,
    devices: Vec<PathBuf>,
}

fn on_disk(made: &Made) -> OnDisk {
    let place = scratch();
    let index = place.write("index", &made.index);
    let mut devices = Vec::new();
    for (number, layer) in made.layers.iter().enumerate() {
        // The kernel maps whole blocks.
        devices.push(place.write(format!("layer{number}"), layer));
    }
    if !made.aside.is_empty() {
        devices.push(place.write("aside", &made.aside));
    }
    OnDisk { place, index, devices }
}

/// What the kernel sees.
fn mounted(files: &OnDisk) -> tree::Tree {
    let devices: Vec<&Path> = files.devices.iter().map(PathBuf::as_path).collect();
    let mount = erofs::mount(&files.index, &devices).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}/.", mount.as_raw_fd()));
    let mut tree = tree::on_disk(&root);
    tree.values_mut().for_each(without_overlay);
    tree
}

/// What `fsck.erofs` extracts, or why it refuses.
fn extracted(peer: &Peer, files: &OnDisk) -> Result<tree::Tree, String> {
    let root = files.place.join("extracted");
    let mut command = peer.command();
    command.arg(format!("--extract={}", root.display())).args(["--preserve", "--xattrs"]);
    for device in &files.devices {
        command.arg(format!("--device={}", device.display()));
    }
    let ran = command.arg(&files.index).output().unwrap();
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    let mut tree = tree::on_disk(&root);
    tree.values_mut().for_each(without_overlay);
    Ok(tree)
}

/// What `fsck.erofs` gets to a file system: no time that an ordinary one cannot say, attributes of
/// files alone and none behind an empty one, and no content with holes.
fn as_extracted(made: &Made, wanted: &tree::Tree, mut seen: tree::Tree) -> [tree::Tree; 2] {
    let mut wanted = wanted.clone();
    for (path, must) in &mut wanted {
        let Some(is) = seen.get_mut(path) else { continue };
        let entry = &made.tree.at(&TreePath::parse(path).unwrap()).unwrap().entry;
        if i32::try_from(must.mtime.0).is_err() {
            (must.mtime, is.mtime) = ((0, 0), (0, 0));
        }
        if must.kind != 'f' || must.xattrs.values().any(Vec::is_empty) {
            must.xattrs.clear();
            is.xattrs.clear();
        }
        if entry.sparse.is_some() {
            must.content.clear();
            is.content.clear();
        }
    }
    [wanted, seen]
}

fn mounts() -> bool {
    let mounts = erofs::probe(scratch().path()).mounts();
    if !mounts {
        eprintln!("skipped: EROFS cannot be mounted from files here");
    }
    mounts
}

#[test]
fn every_reader_sees_the_tree_that_was_written() {
    let mut dice = Dice::new(7);
    let (mounts, peer) = (mounts(), Peer::find("fsck.erofs"));
    let (mut trees, mut checked, mut aside, mut paths) = (0, 0, 0, 0);
    while trees < 500 {
        let count = 1 + below(&mut dice, 3);
        let layers = (0..count).map(|_| random_layer(&mut dice)).collect();
        let Some(made) = made(layers) else { continue };
        let wanted = wanted(&made);
        let differences = tree::differences(&wanted, &read(&made).unwrap());
        assert!(differences.is_empty(), "tree {trees}, our reader: {differences:#?}");
        let files = (mounts || trees % 25 == 0).then(|| on_disk(&made));
        if let Some(files) = files.as_ref().filter(|_| mounts) {
            let differences = tree::differences(&wanted, &mounted(files));
            assert!(differences.is_empty(), "tree {trees}, the kernel: {differences:#?}");
        }
        if let (Some(peer), Some(files), 0) = (&peer, &files, trees % 25) {
            let seen = extracted(peer, files).unwrap_or_else(|why| panic!("tree {trees}: {why}"));
            let [wanted, seen] = as_extracted(&made, &wanted, seen);
            let differences = tree::differences(&wanted, &seen);
            assert!(differences.is_empty(), "tree {trees}, fsck.erofs: {differences:#?}");
            checked += 1;
        }
        aside += usize::from(!made.aside.is_empty());
        paths += wanted.len();
        trees += 1;
    }
    eprintln!("{trees} trees with {paths} paths, {aside} with aside, {checked} by fsck.erofs");
    assert!(aside > 50 && paths > 5000, "{aside} aside, {paths} paths");
}

#[test]
fn a_changed_index_is_read_or_refused_and_never_panics() {
    let mut dice = Dice::new(5);
    let mut refused = 0;
    for _ in 0..40 {
        let Some(mut made) = made(vec![random_layer(&mut dice), random_layer(&mut dice)]) else {
            continue;
        };
        let whole = made.index.clone();
        for _ in 0..60 {
            made.index.clone_from(&whole);
            let length = made.index.len() as u64;
            if below(&mut dice, 4) == 0 {
                made.index.truncate(below(&mut dice, length) as usize);
            } else {
                // Behind the superblock, whose checksum would find it.
                let at = 1536 + below(&mut dice, length - 1536);
                made.index[at as usize] ^= 1 << below(&mut dice, 8);
            }
            let read = Reader::new(&made.index).and_then(|reader| {
                erofs::visit(&reader, |_, inode| {
                    let _ = (reader.link(inode), reader.extents(inode));
                    reader.xattrs(inode).map(drop)
                })
            });
            refused += usize::from(read.is_err());
        }
    }
    assert!(refused > 100, "{refused} refused");
}

#[test]
fn an_index_that_is_not_ours_is_refused() {
    let refused = |bytes: &[u8]| match Reader::new(bytes) {
        Err(ErofsError::Corrupt { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let index = made(vec![raw::archive(&[raw::file("f", b"x")])]).unwrap().index;
    let with = |at: usize, byte: u8| {
        let mut bytes = index.clone();
        bytes[at] ^= byte;
        bytes
    };
    assert_eq!(refused(b""), "it ends too early");
    assert_eq!(refused(&index[..1024]), "it ends too early");
    assert_eq!(refused(&with(1024, 1)), "another magic number");
    assert_eq!(refused(&with(1028, 1)), "a wrong checksum");
    assert_eq!(refused(&[&index[..], &[0; 512]].concat()), "another length");
}
