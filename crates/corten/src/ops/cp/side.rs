//! One side of a copy: where a path leads, inside of a container or on this machine.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// What a path means.
#[derive(Debug)]
pub(super) enum Found {
    /// A name in a directory, be something there or not.
    Name(OwnedFd, CString),
    /// A directory itself: its content is meant.
    Content(OwnedFd),
}

/// A tree in which paths are looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tree<'a> {
    /// The root filesystem of a container: no path leads out of it.
    Inside(BorrowedFd<'a>),
    /// This machine, from a directory on.
    Machine(BorrowedFd<'a>),
}

impl Tree<'_> {
    fn directory(self, path: &OsStr) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.is_empty() { OsStr::new(".") } else { path };
        let (root, resolve) = match self {
            Self::Inside(root) => (root, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS),
            Self::Machine(here) => (here, ResolveFlags::empty()),
        };
        openat2(root, path, flags, Mode::empty(), resolve)
    }

    /// What is to be copied. A path that ends in `/.` means the content of a directory.
    pub(super) fn source(self, path: &Path) -> io::Result<Found> {
        match split(path)? {
            None => self.directory(path.as_os_str()).map(Found::Content),
            Some((parent, name)) => self.directory(&parent).map(|parent| Found::Name(parent, name)),
        }
        .map_err(|errno| told(path, errno))
    }

    /// Where something of this name is to be copied to: below a directory that is there, or as `path`.
    pub(super) fn target(self, path: &Path, name: Option<&CString>) -> io::Result<Found> {
        match (self.directory(path.as_os_str()), name) {
            (Ok(directory), Some(name)) => return Ok(Found::Name(directory, name.clone())),
            (Ok(directory), None) => return Ok(Found::Content(directory)),
            (Err(Errno::NOENT | Errno::NOTDIR), _) => {}
            (Err(errno), _) => return Err(told(path, errno)),
        }
        let Some((parent, last)) = split(path)? else { return Err(told(path, Errno::NOENT)) };
        self.directory(&parent)
            .map(|parent| Found::Name(parent, last))
            .map_err(|errno| told(path, errno))
    }
}

/// The directory that relative paths of this machine are meant from.
pub(super) fn opened(here: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, here, flags, Mode::empty()).map_err(|errno| told(here, errno))
}

fn told(path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The parent and the last name of a path; `None` where it means a directory's content.
fn split(path: &Path) -> io::Result<Option<(std::ffi::OsString, CString)>> {
    let bytes = path.as_os_str().as_bytes();
    let plain = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == b'/').count();
    let plain = bytes.get(..plain).unwrap_or_default();
    let at = plain.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match at {
        Some(at) => (plain.get(..=at), plain.get(at + 1..)),
        None => (None, Some(plain)),
    };
    let name = name.unwrap_or_default();
    if matches!(name, b"" | b"." | b"..") {
        return Ok(None);
    }
    let name = CString::new(name).map_err(|_| told(path, Errno::INVAL))?;
    Ok(Some((OsStr::from_bytes(parent.unwrap_or_default()).to_owned(), name)))
}

impl Found {
    /// The last name, where it is one.
    pub(super) fn name(&self) -> Option<&CString> {
        match self {
            Self::Name(_, name) => Some(name),
            Self::Content(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_path_has_a_parent_and_a_name_or_means_a_content() {
        let parts = |text: &str| {
            let (parent, name) = split(Path::new(text)).unwrap()?;
            Some((parent.into_string().unwrap(), name.into_string().unwrap()))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(parts("/etc/motd"), pair("/etc/", "motd"));
        assert_eq!(parts("motd/"), pair("", "motd"));
        assert_eq!(parts("/motd"), pair("/", "motd"));
        for content in ["/", ".", "/etc/.", "a/..", "//", ""] {
            assert_eq!(parts(content), None, "{content}");
        }
    }

    #[test]
    fn no_path_leads_out_of_a_container() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("out")).unwrap();
        let opened = opened(root.path()).unwrap();
        let inside = Tree::Inside(opened.as_fd());
        for path in ["/out/passwd", "out/.", "../../etc/passwd"] {
            assert!(inside.source(Path::new(path)).is_err(), "{path}");
        }
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let found = inside.target(Path::new("out"), Some(&c"x".to_owned())).unwrap();
        let Found::Name(directory, _) = found else { panic!("{found:?}") };
        let (at, wanted) = (rustix::fs::fstat(&directory).unwrap(), root.path().join("etc"));
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(at.st_ino, wanted.metadata().unwrap().ino());
    }
}
