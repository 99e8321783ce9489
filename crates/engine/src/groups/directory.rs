//! One directory of a hierarchy of control groups, behind a descriptor.

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The most bytes read of one file.
const FILE_LIMIT: u64 = 4 << 20;
/// The most directories looked at right below one.
const CHILDREN: usize = 1 << 16;
/// The mode of a directory that is made.
const MODE: u32 = 0o755;

/// An opened directory. Its path is for errors and for the record alone.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    file: OwnedFd,
}

impl Directory {
    /// Opens the directory at a path of this machine.
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Directory { path: path.to_owned(), file })
    }

    /// Opens one below; no link and no other file system is entered.
    pub(crate) fn child(&self, below: &Path) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let name = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let file = rustix::fs::openat2(&self.file, name, flags, Mode::empty(), resolve)?;
        Ok(Directory { path: self.path.join(below), file })
    }

    /// Makes a directory right below.
    pub(crate) fn make(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.file, name, Mode::from_raw_mode(MODE))?)
    }

    /// Removes an empty group right below.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?)
    }

    /// Reads a file of the directory.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.file, name, flags, Mode::empty())?;
        let mut bytes = Vec::new();
        std::fs::File::from(file).take(FILE_LIMIT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes a file of the directory, in one call, as its reader in the kernel wants it.
    pub(crate) fn write(&self, name: &str, value: &str) -> io::Result<()> {
        let file = self.writable(name)?;
        rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))?;
        Ok(())
    }

    /// Opens a file of the directory for writing.
    pub(crate) fn writable(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::empty())?)
    }

    /// Whether this process has the right to write a file.
    pub(crate) fn may_write(&self, name: &str) -> bool {
        use rustix::fs::Access;
        rustix::fs::accessat(&self.file, name, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The number by which the directory is known again.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_ino)
    }

    /// The device number of the file system.
    pub(crate) fn device(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_dev)
    }

    /// The kind of the file system, a magic number of linux/magic.h.
    pub(crate) fn kind(&self) -> io::Result<i64> {
        Ok(rustix::fs::fstatfs(&self.file)?.f_type)
    }

    /// The names of the groups right below.
    pub(crate) fn children(&self) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.file)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if entry.file_type() == FileType::Directory && name != b"." && name != b".." {
                use std::os::unix::ffi::OsStrExt;
                names.push(PathBuf::from(OsStr::from_bytes(name)));
            }
            if names.len() > CHILDREN {
                return Err(io::Error::other(format!("more than {CHILDREN} groups in one")));
            }
        }
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
