//! Small files of a root filesystem, read so that nothing in it leads out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat};
use rustix::io::Errno;

/// How often a path is resolved again when something in the root was renamed meanwhile.
const ATTEMPTS: usize = 32;

/// Most symbolic links on one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// Files of a root filesystem.
pub trait RootFiles {
    /// The whole of the regular file at `path`, an absolute path inside the root, following symbolic
    /// links inside the root. `None` when nothing is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] for a file of more than `limit` bytes,
    /// [`io::ErrorKind::InvalidInput`] for what is no regular file, and what the system says.
    fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>>;
}

/// The root filesystem that a directory holds.
#[derive(Debug)]
pub struct RootDirectory {
    directory: OwnedFd,
    stepwise: bool,
}

impl RootDirectory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Of a descriptor of a directory.
    pub fn new(directory: OwnedFd) -> Self {
        Self { directory, stepwise: false }
    }

    /// Walks step by step even where openat2 works: for sandboxes that answer it wrongly.
    #[must_use]
    pub fn without_openat2(self) -> Self {
        Self { stepwise: true, ..self }
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let flags = flags | OFlags::CLOEXEC;
        match self.opened(path, flags) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn opened(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.stepwise {
            return self.walk(path, flags);
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                // Kernels and sandboxes without openat2: the same, one step at a time.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(path, flags),
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Follows the path and its links by their text, never by the kernel's own following.
    fn walk(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut coming = names(OsStr::new(path));
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = coming.pop_front() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().unwrap_or(&self.directory);
            let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = rustix::fs::openat(here, &name, look, Mode::empty())?;
            match FileType::from_raw_mode(fstat(&found)?.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        way.clear();
                    }
                    let mut joined = names(&target);
                    joined.append(&mut coming);
                    coming = joined;
                }
                FileType::Directory => way.push(found),
                _ if coming.is_empty() => {
                    let flags = flags | OFlags::NOFOLLOW;
                    return rustix::fs::openat(here, &name, flags, Mode::empty());
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        let here = way.last().unwrap_or(&self.directory);
        rustix::fs::openat(here, ".", flags, Mode::empty())
    }
}

fn names(path: &OsStr) -> VecDeque<OsString> {
    let names = path.as_bytes().split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    names.map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

impl RootFiles for RootDirectory {
    fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // Looked at before it is opened: opening a device may act on it.
        let Some(seen) = self.resolve(path, OFlags::PATH)? else { return Ok(None) };
        regular(&seen)?;
        // NONBLOCK: whoever may change the root could have made a pipe of it by now.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(file) = self.resolve(path, flags)? else { return Ok(None) };
        regular(&file)?;
        let mut bytes = Vec::new();
        File::from(file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|read| read > limit) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }
}

fn regular(file: &OwnedFd) -> io::Result<()> {
    let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
    if kind == FileType::RegularFile {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}
