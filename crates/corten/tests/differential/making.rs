//! What contexts, archives and the base have in them, from lines of text to files and tars.
//!
//! `KIND NAME [KEY=VALUE…] [-> TARGET] [: CONTENT]`: the kinds are file, dir, link, hard, fifo, char, block and tar;
//! the keys are mode, own (`UID:GID`), xattr (`NAME=VALUE`), size (of zeros), dev (`MAJOR,MINOR`), time (seconds
//! after 1970), in (a named context), to (the tar that it is in) and as (how a tar is packed). Names and contents
//! know `\n`, `\s` for a space, `\t`, `\\` and `\xHH`.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use corten_layer::{Compression, Device, Entry, EntryKind, Packer, Packing, TarWriter};
use rustix::fs::{FileType, Mode, XattrFlags, lsetxattr};

/// When everything was changed that does not say.
pub(crate) const BEFORE: i64 = 1_500_000_000;

/// One thing in a tree.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) kind: String,
    pub(crate) name: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) context: Option<String>,
    target: Vec<u8>,
    mode: Option<u32>,
    owner: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    device: Device,
    time: i64,
    archive: Option<Vec<u8>>,
    form: String,
}

impl Thing {
    pub(crate) fn parse(line: &str) -> Self {
        let (head, content) = line.split_once(" : ").unwrap_or((line, ""));
        let (head, target) = head.split_once(" -> ").unwrap_or((head, ""));
        let mut words = head.split_whitespace();
        let (kind, name) = (words.next().unwrap().to_owned(), plain(words.next().unwrap()));
        let mut thing = Self {
            kind,
            name,
            content: plain(content),
            context: None,
            target: plain(target),
            mode: None,
            owner: (0, 0),
            xattrs: Vec::new(),
            device: Device::default(),
            time: BEFORE,
            archive: None,
            form: "none".to_owned(),
        };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{line}: {word}"));
            let pair = |mark| value.split_once(mark).unwrap();
            match key {
                "mode" => thing.mode = Some(u32::from_str_radix(value, 8).unwrap()),
                "own" => thing.owner = numbers(pair(':')),
                "xattr" => thing.xattrs.push((plain(pair('=').0), plain(pair('=').1))),
                "size" => thing.content = vec![0; value.parse().unwrap()],
                "dev" => (thing.device.major, thing.device.minor) = numbers(pair(',')),
                "time" => thing.time = value.parse().unwrap(),
                "in" => thing.context = Some(value.to_owned()),
                "to" => thing.archive = Some(plain(value)),
                "as" => thing.form = value.to_owned(),
                _ => panic!("{line}: {key}"),
            }
        }
        thing
    }

    /// As an entry of a tar.
    pub(crate) fn entry(&self) -> Entry {
        let kind = match self.kind.as_str() {
            "file" => EntryKind::File,
            "dir" => EntryKind::Directory,
            "link" => EntryKind::Symlink,
            "hard" => EntryKind::HardLink,
            "fifo" => EntryKind::Fifo,
            "char" => EntryKind::CharDevice,
            "block" => EntryKind::BlockDevice,
            other => panic!("{other} is in no tar"),
        };
        let mut entry = Entry::new(kind, self.name.clone());
        entry.mode = self.mode.unwrap_or(entry.mode);
        (entry.uid, entry.gid) = self.owner;
        (entry.link, entry.device) = (self.target.clone(), self.device);
        entry.mtime.seconds = self.time;
        entry.size = self.content.len() as u64;
        entry.xattrs = self.xattrs.iter().cloned().collect();
        entry
    }
}

fn numbers((one, two): (&str, &str)) -> (u32, u32) {
    (one.parse().unwrap(), two.parse().unwrap())
}

fn plain(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.to_string().into_bytes());
            continue;
        }
        out.push(match chars.next() {
            Some('n') => b'\n',
            Some('s') => b' ',
            Some('t') => b'\t',
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            other => u8::try_from(other.unwrap()).unwrap(),
        });
    }
    out
}

/// A whole number of seconds, and what comes on top.
///
/// BuildKit keeps what it was sent of a context by name, size and time: without a time of its own on top, a file of
/// one case would stand in for another one's.
pub(crate) type Shift = (i64, i64);

/// Everything of one context into a directory; `shift` is added to every time.
pub(crate) fn lay(directory: &Path, things: &[Thing], context: Option<&str>, shift: Shift) {
    std::fs::create_dir_all(directory).unwrap();
    let own = |thing: &&Thing| thing.context.as_deref() == context && thing.archive.is_none();
    let path = |name: &[u8]| directory.join(std::ffi::OsStr::from_bytes(name));
    for thing in things.iter().filter(own) {
        let at = path(&thing.name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        match thing.kind.as_str() {
            "dir" => std::fs::create_dir_all(&at).unwrap(),
            "link" => symlink(std::ffi::OsStr::from_bytes(&thing.target), &at).unwrap(),
            "hard" => std::fs::hard_link(path(&thing.target), &at).unwrap(),
            "fifo" => {
                let fifo = FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &at, fifo, Mode::from(0o644), 0).unwrap();
            }
            "tar" => std::fs::write(&at, archive(thing, things)).unwrap(),
            _ => std::fs::write(&at, &thing.content).unwrap(),
        }
        if matches!(thing.kind.as_str(), "link" | "hard") {
            continue;
        }
        if thing.owner != (0, 0) {
            chown(&at, Some(thing.owner.0), Some(thing.owner.1)).unwrap();
        }
        let mode = thing.mode.unwrap_or(if thing.kind == "dir" { 0o755 } else { 0o644 });
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).unwrap();
        for (name, value) in &thing.xattrs {
            lsetxattr(&at, std::ffi::OsStr::from_bytes(name), value, XattrFlags::empty()).unwrap();
        }
    }
    set_times(directory, things, shift);
}

/// Gives everything its time, the deepest first: what is made changes the time of what it is in.
fn set_times(directory: &Path, things: &[Thing], shift: Shift) {
    let mut all: Vec<PathBuf> = vec![directory.to_owned()];
    let mut at = 0;
    while let Some(path) = all.get(at).cloned() {
        at += 1;
        if path.symlink_metadata().unwrap().is_dir() {
            all.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    for path in all.iter().rev() {
        let name = path.strip_prefix(directory).unwrap().as_os_str().as_bytes();
        let own = things.iter().find(|thing| thing.name == name).map_or(BEFORE, |own| own.time);
        let time = rustix::fs::Timespec { tv_sec: own + shift.0, tv_nsec: shift.1 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
    }
}

/// An archive of the things that say so.
fn archive(tar: &Thing, things: &[Thing]) -> Vec<u8> {
    let inside = things.iter().filter(|thing| thing.archive.as_ref() == Some(&tar.name));
    let plain = tar_of(inside);
    // The answers hold the bytes of what is not unpacked: they are no matter of what is usual today.
    let (compression, level) = match tar.form.as_str() {
        "gzip" => (Compression::Gzip, Some(6)),
        "zstd" => (Compression::Zstd, Some(3)),
        _ => return plain,
    };
    let threads = std::num::NonZeroUsize::MIN;
    let mut packer = Packer::new(Vec::new(), Packing { compression, level, threads }).unwrap();
    std::io::Write::write_all(&mut packer, &plain).unwrap();
    packer.finish().unwrap().1
}

/// A plain tar of things.
pub(crate) fn tar_of<'a>(things: impl Iterator<Item = &'a Thing>) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for thing in things {
        writer.file(&thing.entry(), thing.content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}
