//! Whether two trees of files are the same one: what stands for a layer kept as a directory, and what its
//! packed bytes give now.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::attributes::{Named, attributes};

/// How deep directories are followed: no layer is as deep, and a damaged disk might seem so.
const MAX_DEPTH: usize = 4096;
/// How many bytes of two files are compared at once.
const BUFFER: usize = 128 * 1024;

/// What was compared, and the first thing that differs.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Bytes of contents that are the same.
    pub(super) bytes: u64,
    /// The first difference.
    pub(super) difference: Option<String>,
}

/// Compares `found` with `expected`: names, kinds, modes, owners, times of files, links, devices, attributes
/// and contents. Directories that a layer does not name have the time at which they were made, so times of
/// directories are not compared.
pub(super) fn compare(found: &Path, expected: &Path) -> io::Result<Comparison> {
    let mut comparison = Comparison::default();
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("{} is too deep", path.display())));
        }
        let (one, other) = (found.join(&path), expected.join(&path));
        if let Some(what) = compare_one(&one, &other, &mut comparison)? {
            let shown = if path.as_os_str().is_empty() { Path::new("/") } else { &path };
            comparison.difference = Some(format!("{}: {what}", shown.display()));
            return Ok(comparison);
        }
        if !std::fs::symlink_metadata(&other)?.is_dir() {
            continue;
        }
        let (ours, theirs) = (names(&one)?, names(&other)?);
        let odd = |name: &&OsString| !(ours.contains(name) && theirs.contains(name));
        if let Some(name) = ours.iter().chain(&theirs).find(odd) {
            let what = if ours.contains(name) { "should not be there" } else { "is missing" };
            comparison.difference = Some(format!("{}: {what}", path.join(name).display()));
            return Ok(comparison);
        }
        waiting.extend(ours.into_iter().map(|name| (path.join(name), depth + 1)));
    }
    Ok(comparison)
}

fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// What differs between two entries themselves.
fn compare_one(
    one: &Path,
    other: &Path,
    comparison: &mut Comparison,
) -> io::Result<Option<&'static str>> {
    let (a, b) = (std::fs::symlink_metadata(one)?, std::fs::symlink_metadata(other)?);
    let time = |meta: &Metadata| (meta.mtime(), meta.mtime_nsec());
    let differs = match () {
        () if a.mode() != b.mode() => Some("another kind or mode"),
        () if (a.uid(), a.gid()) != (b.uid(), b.gid()) => Some("another owner"),
        () if a.rdev() != b.rdev() => Some("another device"),
        () if a.is_dir() => None,
        () if a.nlink() != b.nlink() => Some("other hard links"),
        () if a.len() != b.len() => Some("another size"),
        () if time(&a) != time(&b) && !is_whiteout(&a) => Some("another time"),
        () => None,
    };
    if differs.is_some() {
        return Ok(differs);
    }
    if kept_attributes(one)? != kept_attributes(other)? {
        return Ok(Some("other attributes"));
    }
    if a.is_symlink() && std::fs::read_link(one)? != std::fs::read_link(other)? {
        return Ok(Some("another target"));
    }
    if a.is_file() && !same_bytes(&mut open(one)?, &mut open(other)?)? {
        return Ok(Some("another content"));
    }
    if a.is_file() {
        comparison.bytes = comparison.bytes.saturating_add(a.len());
    }
    Ok(None)
}

/// Whether an entry says for overlay that there is none: it has no time that means anything.
fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// The attributes of an entry, that aside which the system gives by itself.
fn kept_attributes(path: &Path) -> io::Result<Named> {
    let mut all = attributes(path)?;
    all.remove(&b"security.selinux"[..]);
    Ok(all)
}

/// Whether two readers give the same bytes.
pub(super) fn same_bytes(one: &mut impl Read, other: &mut impl Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let taken = one.read(&mut left)?;
        let expected = right.get_mut(..taken.max(1)).unwrap_or_default();
        if taken == 0 {
            return Ok(other.read(expected)? == 0);
        }
        match other.read_exact(expected) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if left.get(..taken) != right.get(..taken) {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, UNIX_EPOCH};

    fn tree(root: &Path) {
        std::fs::create_dir_all(root.join("d/e")).unwrap();
        for name in ["d/file", "d/e/other"] {
            std::fs::write(root.join(name), name).unwrap();
            let file = std::fs::File::options().write(true).open(root.join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        }
        symlink("file", root.join("d/link")).unwrap();
        let stamp = rustix::fs::Timespec { tv_sec: 7, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
        let here = rustix::fs::CWD;
        let link = root.join("d/link");
        rustix::fs::utimensat(here, &link, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    #[test]
    fn each_difference_is_found_and_named() {
        type Change = fn(&Path);
        let touch = |root: &Path| {
            let file = std::fs::File::options().write(true).open(root.join("d/file")).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        };
        let cases: [(Change, Option<&str>); 8] = [
            (|_| {}, None),
            (|root| std::fs::remove_file(root.join("d/link")).unwrap(), Some("d/link: is missing")),
            (
                |root| std::fs::write(root.join("d/new"), "").unwrap(),
                Some("d/new: should not be there"),
            ),
            (
                |root| std::fs::write(root.join("d/file"), "d/fild").unwrap(),
                Some("d/file: another content"),
            ),
            (
                |root| std::fs::write(root.join("d/file"), "d").unwrap(),
                Some("d/file: another size"),
            ),
            (
                |root| {
                    let mode = std::fs::Permissions::from_mode(0o711);
                    std::fs::set_permissions(root.join("d/e"), mode).unwrap();
                },
                Some("d/e: another kind or mode"),
            ),
            (
                |root| std::fs::hard_link(root.join("d/file"), root.join("../kept")).unwrap(),
                Some("d/file: other hard links"),
            ),
            (
                |root| {
                    std::fs::remove_file(root.join("d/link")).unwrap();
                    std::fs::create_dir(root.join("d/link")).unwrap();
                },
                Some("d/link: another kind or mode"),
            ),
        ];
        for (change, told) in cases {
            let scratch = tempfile::tempdir().unwrap();
            let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
            tree(&one);
            tree(&other);
            change(&one);
            touch(&one);
            assert_eq!(compare(&one, &other).unwrap().difference.as_deref(), told);
        }
    }
}
