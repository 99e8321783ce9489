//! A directory tree as a world of its own: no path, link or `..` inside it leads out of it.
//!
//! Every path that the image or the configuration names is opened by the kernel with
//! `RESOLVE_IN_ROOT`, and what is created is created beside a descriptor of its parent.

use crate::error::{Doing, Error, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// How often an open is repeated when the kernel saw the tree change under it.
const RESOLVE_ATTEMPTS: usize = 64;
/// The most components of a path inside the root.
const DEPTH: usize = 256;

/// An opened root directory.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
}

/// Whether symbolic links (which stay inside in any case) may lead to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Links are followed, inside the root.
    Follow,
    /// A link anywhere on the way is an error.
    Refuse,
}

impl Root {
    /// Takes this directory as the root.
    pub(crate) fn new(directory: OwnedFd) -> Root {
        Root { directory }
    }

    /// The root's own descriptor.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens what `path` names inside the root.
    pub(crate) fn open(
        &self,
        path: &Path,
        flags: OFlags,
        links: Links,
    ) -> rustix::io::Result<OwnedFd> {
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refuse {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let inside = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        for _ in 0..RESOLVE_ATTEMPTS {
            match rustix::fs::openat2(&self.directory, inside, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// What `path` names inside the root, where there is something.
    pub(crate) fn look(&self, path: &Path) -> Option<OwnedFd> {
        self.open(path, OFlags::PATH, Links::Follow).ok()
    }

    /// Opens the directory `path`, creating what is missing of it with mode 0755.
    pub(crate) fn make_directories(&self, path: &Path, links: Links) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open(path, flags, links) {
            Err(Errno::NOENT) => {}
            other => {
                return other.doing(|| format!("open directory {} in the root", path.display()));
            }
        }
        let mut walked = PathBuf::new();
        let mut parent = self.open(Path::new("/"), flags, links).doing(|| "open the root")?;
        for name in names(path)? {
            walked.push(&name);
            parent = match self.open(&walked, flags, links) {
                Err(Errno::NOENT) => make_directory(parent.as_fd(), &name),
                other => other,
            }
            .doing(|| format!("make directory {} in the root", walked.display()))?;
        }
        Ok(parent)
    }

    /// The directory that holds `path`, made if missing, and the last name of `path`.
    pub(crate) fn parent(&self, path: &Path) -> Result<(OwnedFd, PathBuf)> {
        let mut all = names(path)?;
        let name = all.pop().ok_or_else(|| Error::Unsupported {
            what: format!("{} as the path of a file", path.display()),
        })?;
        let above: PathBuf = all.iter().collect();
        Ok((self.make_directories(&above, Links::Follow)?, name))
    }

    /// Opens what `path` names, or makes an empty file there.
    pub(crate) fn make_file(&self, path: &Path) -> Result<OwnedFd> {
        match self.open(path, OFlags::PATH, Links::Follow) {
            Err(Errno::NOENT) => {}
            other => return other.doing(|| format!("open {} in the root", path.display())),
        }
        let (parent, name) = self.parent(path)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644))
            .doing(|| format!("make file {} in the root", path.display()))?;
        rustix::fs::openat(
            &parent,
            &name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .doing(|| format!("open file {} in the root", path.display()))
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The names of a path from the root on, `.` and `..` resolved in words.
fn names(path: &Path) -> Result<Vec<PathBuf>> {
    let mut names: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if names.len() > DEPTH {
        return Err(Error::Unsupported { what: format!("a path of more than {DEPTH} names") });
    }
    Ok(names.into_iter().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn opened(path: &Path) -> Root {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Root::new(rustix::fs::open(path, flags, Mode::empty()).unwrap())
    }

    #[test]
    fn a_link_out_of_the_root_leads_into_it() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        symlink(&outside, inside.join("dev")).unwrap();
        let root = opened(&inside);
        let error = root.make_directories(Path::new("/dev/pts"), Links::Follow).unwrap_err();
        assert!(error.to_string().contains("dev"), "{error}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(root.make_file(Path::new("/dev/null")).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn missing_directories_are_made_and_dots_mean_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let root = opened(scratch.path());
        root.make_directories(Path::new("/a/./b/../../../c/d"), Links::Follow).unwrap();
        assert!(scratch.path().join("c/d").is_dir());
        root.make_file(Path::new("/e/f")).unwrap();
        assert!(scratch.path().join("e/f").is_file());
    }

    #[test]
    fn a_refused_link_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("real")).unwrap();
        symlink("real", scratch.path().join("proc")).unwrap();
        let root = opened(scratch.path());
        assert!(root.make_directories(Path::new("/proc"), Links::Refuse).is_err());
        assert!(root.make_directories(Path::new("/proc"), Links::Follow).is_ok());
    }
}
