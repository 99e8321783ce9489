//! The same entries as other readers see, on archives that other writers made and on ours.
//!
//! Python's reader is the judge; where it is not installed the tests say so and pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use corten_layer::{Device, Entry, EntryKind, Limits, Mtime, Tar, TarWriter};
use corten_spec::Digest;

/// One line for each entry: type, mode, owner, time, size, content, name, target.
const DUMP: &str = r"
import sys, tarfile, hashlib
kinds = {b'0': 'file', b'\0': 'file', b'S': 'file', b'1': 'hard', b'2': 'symlink', b'3': 'char',
         b'4': 'block', b'5': 'dir', b'6': 'fifo'}
with tarfile.open(sys.argv[1], errors='surrogateescape') as archive:
    for e in archive:
        kind = kinds[e.type]
        content = hashlib.sha256(archive.extractfile(e).read()).hexdigest() if kind == 'file' else '-'
        device = '%d,%d' % (e.devmajor, e.devminor) if kind in ('char', 'block') else '0,0'
        size = e.size if kind == 'file' else 0
        name = (e.name + '/' if kind == 'dir' else e.name).encode('utf-8', 'surrogateescape').hex()
        link = e.linkname.encode('utf-8', 'surrogateescape').hex()
        mtime = int(e.mtime // 1)
        xattrs = ' '.join(sorted(k + '=' + v for k, v in e.pax_headers.items() if 'xattr' in k))
        print(kind, oct(e.mode & 0o7777)[2:], e.uid, e.gid, mtime, size, content, device, name, link,
              xattrs)
";

fn python(archive: &Path) -> Option<Vec<String>> {
    let output = Command::new("python3").arg("-c").arg(DUMP).arg(archive).output();
    let Ok(output) = output else {
        println!("skipped: python3 is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ours(archive: &Path) -> Vec<String> {
    let mut tar = Tar::new(fs::File::open(archive).unwrap(), Limits::default());
    let mut lines = Vec::new();
    while let Some(entry) = tar.next_entry().unwrap() {
        let mut content = Vec::new();
        tar.read_to_end(&mut content).unwrap();
        let (kind, content) = match entry.kind {
            EntryKind::File => ("file", Digest::sha256(&content).encoded().to_owned()),
            EntryKind::HardLink => ("hard", "-".to_owned()),
            EntryKind::Symlink => ("symlink", "-".to_owned()),
            EntryKind::CharDevice => ("char", "-".to_owned()),
            EntryKind::BlockDevice => ("block", "-".to_owned()),
            EntryKind::Directory => ("dir", "-".to_owned()),
            EntryKind::Fifo => ("fifo", "-".to_owned()),
        };
        let xattrs: Vec<_> = entry
            .xattrs
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .map(|(name, value)| format!("SCHILY.xattr.{name}={value}"))
            .collect();
        lines.push(format!(
            "{kind} {:o} {} {} {} {} {content} {},{} {} {} {}",
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime.seconds,
            entry.size,
            entry.device.major,
            entry.device.minor,
            hex(&entry.name),
            hex(&entry.link),
            xattrs.join(" "),
        ));
    }
    lines
}

fn agree(archive: &Path, what: &str) {
    if let Some(theirs) = python(archive) {
        assert_eq!(ours(archive), theirs, "{what}");
    }
}

/// A tree with long names, links, a sparse file and times with fractions.
fn tree(root: &Path) {
    let deep = root.join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), b"deep").unwrap();
    fs::write(root.join("n".repeat(180)), b"long").unwrap();
    fs::write(root.join("plain"), vec![3; 1234]).unwrap();
    fs::hard_link(root.join("plain"), root.join("second")).unwrap();
    fs::hard_link(root.join("plain"), root.join("h".repeat(150))).unwrap();
    symlink("x".repeat(180), root.join("far")).unwrap();
    symlink("plain", root.join("near")).unwrap();
    let mut sparse = fs::File::create(root.join("sparse")).unwrap();
    for piece in 0..12_u64 {
        sparse.seek(SeekFrom::Start(piece * 100_000)).unwrap();
        sparse.write_all(b"island").unwrap();
    }
    sparse.set_len(2_000_000).unwrap();
}

#[test]
fn archives_of_other_writers_are_read_as_others_read_them() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("tree");
    fs::create_dir(&root).unwrap();
    tree(&root);
    let small = work.path().join("small");
    fs::create_dir(&small).unwrap();
    fs::write(small.join("file"), b"x").unwrap();
    symlink("file", small.join("link")).unwrap();
    let archive = work.path().join("archive.tar");
    let mut made = 0;
    for (program, format, sparse, tree) in [
        ("tar", "gnu", "--sparse", &root),
        ("tar", "oldgnu", "--sparse", &root),
        ("tar", "posix", "--sparse-version=0.0", &root),
        ("tar", "posix", "--sparse-version=0.1", &root),
        ("tar", "posix", "--sparse-version=1.0", &root),
        ("tar", "posix", "--no-xattrs", &root),
        ("tar", "ustar", "--no-xattrs", &small),
        ("tar", "v7", "--no-xattrs", &small),
        ("bsdtar", "pax", "--no-xattrs", &root),
        ("bsdtar", "gnutar", "--no-xattrs", &root),
        ("bsdtar", "ustar", "--no-xattrs", &small),
        ("bsdtar", "v7", "--no-xattrs", &small),
    ] {
        let mut command = Command::new(program);
        command.arg(format!("--format={format}")).arg(sparse);
        if sparse.starts_with("--sparse-version") {
            command.arg("--sparse");
        }
        command.arg("-cf").arg(&archive).arg("-C").arg(tree).arg(".");
        if command.status().is_ok_and(|status| status.success()) {
            made += 1;
            agree(&archive, &format!("{program} {format} {sparse}"));
        }
    }
    assert!(made >= 8, "only {made} archives could be made");
}

/// Everything that a header can or cannot say.
fn entries() -> Vec<(Entry, Vec<u8>)> {
    let long = |letter: &str, length: usize| letter.repeat(length).into_bytes();
    let mut entries = Vec::new();
    let mut put = |entry: Entry, content: &[u8]| entries.push((entry, content.to_vec()));
    let file = |name: Vec<u8>, content: &[u8]| Entry {
        size: content.len() as u64,
        ..Entry::new(EntryKind::File, name)
    };
    let mut odd = file(b"odd".to_vec(), b"content");
    (odd.uid, odd.gid, odd.mode) = (2_097_152, u32::MAX - 1, 0o7777);
    odd.mtime = Mtime { seconds: -12_345, nanos: 0 };
    odd.xattrs.insert(b"user.key".to_vec(), b"a=b".to_vec());
    odd.xattrs.insert(b"user.utf8".to_vec(), "\u{fc}".as_bytes().to_vec());
    put(odd, b"content");
    let mut exact = file(b"exact".to_vec(), b"");
    exact.mtime = Mtime { seconds: 1_700_000_000, nanos: 123_456_789 };
    put(exact, b"");
    for length in [99, 100, 101, 155, 156, 255, 256, 257, 1000] {
        put(file(long("n", length), b"x"), b"x");
        put(Entry::new(EntryKind::Directory, [long("d", length - 1), b"/".to_vec()].concat()), b"");
        let halves = [long("p", length / 2), long("q", length - length / 2 - 1)].join(&b'/');
        put(file(halves, b"yy"), b"yy");
        let target = long("t", length);
        put(Entry { link: target, ..Entry::new(EntryKind::Symlink, format!("l{length}")) }, b"");
    }
    put(Entry { link: b"odd".to_vec(), ..Entry::new(EntryKind::HardLink, "hard") }, b"");
    put(file("gr\u{fc}n".into(), b"1"), b"1");
    put(file(b"latin\xfc".to_vec(), b"2"), b"2");
    put(Entry::new(EntryKind::Fifo, "pipe"), b"");
    for (kind, name) in [(EntryKind::CharDevice, "char"), (EntryKind::BlockDevice, "block")] {
        let device = Device { major: 2_097_151, minor: 3 };
        put(Entry { device, ..Entry::new(kind, name) }, b"");
    }
    entries
}

fn written() -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries() {
        writer.file(&entry, content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = written();
    let mut tar = Tar::new(bytes.as_slice(), Limits::default());
    for (wanted, content) in entries() {
        let entry = tar.next_entry().unwrap().unwrap();
        let mut read = Vec::new();
        tar.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
        let (offset, at) = (entry.offset, entry.content);
        assert_eq!(entry, Entry { offset, content: at, ..wanted });
    }
    assert!(tar.next_entry().unwrap().is_none());
}

#[test]
fn what_is_written_is_read_by_others() {
    let work = tempfile::tempdir().unwrap();
    let archive = work.path().join("archive.tar");
    fs::write(&archive, written()).unwrap();
    agree(&archive, "our writer");
    for program in ["tar", "bsdtar"] {
        let Ok(output) = Command::new(program).arg("-tf").arg(&archive).output() else { continue };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {said}");
        let listed = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        assert_eq!(listed.count(), entries().len(), "{program}");
    }
}
