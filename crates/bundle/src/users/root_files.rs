//! Small files of a root filesystem, read so that nothing in it leads out of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat};
use rustix::io::Errno;

/// How often a path is resolved again when something in the root was renamed meanwhile.
const ATTEMPTS: usize = 32;

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
pub struct RootDirectory(OwnedFd);

impl RootDirectory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Of a descriptor of a directory.
    pub fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            let flags = flags | OFlags::CLOEXEC;
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }
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
