//! Mounting an index: the kernel (6.12 and later) reads it and the archives from plain files,
//! without loop devices.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use corten_layer::{Limits, Merged};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::erofs::{ErofsError, write};

/// Longest value of a mount option.
const MAX_VALUE: usize = 255;

/// Whether this process can mount an index from a file here.
#[derive(Debug)]
#[non_exhaustive]
pub enum Support {
    /// It can.
    Mounts,
    /// It cannot, for this reason: an old kernel, a missing privilege or file system.
    Refused(ErofsError),
}

impl Support {
    /// Whether an index can be mounted.
    pub fn mounts(&self) -> bool {
        matches!(self, Self::Mounts)
    }
}

/// Mounts the index at `index` over `devices`: the archives of the layers from the base up, then
/// the aside file if the index has one. The mount is read-only and stands nowhere yet: it goes away
/// with the descriptor unless it is moved to a place or an overlay takes it as a layer, by
/// `lowerdir+` or `/proc/self/fd`.
///
/// Set-user-id files and devices have no effect through the mount itself; an overlay on top decides
/// by its own flags.
///
/// Only indexes that this machine made may be mounted: the kernel trusts what it reads.
pub fn mount(index: &Path, devices: &[&Path]) -> Result<OwnedFd, ErofsError> {
    let mut names = Vec::with_capacity(devices.len());
    for device in devices {
        names.push(Name::of(device)?);
    }
    mount_named(&Name::of(index)?, &names)
}

/// Tries whether an index in `directory` can be mounted, with one that holds nothing. That depends on the file
/// system, too: one in memory cannot hold what the kernel mounts from.
pub fn probe(directory: &Path) -> Support {
    match empty_index(directory).and_then(|index| mount_named(&Name::of_open(index), &[])) {
        Ok(_) => Support::Mounts,
        Err(error) => Support::Refused(error),
    }
}

fn empty_index(directory: &Path) -> Result<File, ErofsError> {
    let mut file = tempfile::tempfile_in(directory).map_err(ErofsError::Write)?;
    write(&Merged::new(Limits::default()), &[], &mut file)?;
    file.flush().map_err(ErofsError::Write)?;
    file.seek(SeekFrom::Start(0)).map_err(ErofsError::Write)?;
    Ok(file)
}

fn mount_named(index: &Name, devices: &[Name]) -> Result<OwnedFd, ErofsError> {
    let at =
        |step| move |error: rustix::io::Errno| ErofsError::Mount { step, source: error.into() };
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("fsopen"))?;
    let context: BorrowedFd<'_> = context.as_fd();
    fsconfig_set_string(context, "source", &index.text).map_err(at("the index"))?;
    for device in devices {
        fsconfig_set_string(context, "device", &device.text).map_err(at("a device"))?;
    }
    fsconfig_set_flag(context, "ro").map_err(at("the flag ro"))?;
    fsconfig_create(context).map_err(at("reading the superblock"))?;
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(at("fsmount"))
}

/// The name under which the kernel opens a file while it mounts: the path, or that of a descriptor
/// where the path is too long for a mount option.
struct Name {
    text: PathBuf,
    _open: Option<File>,
}

impl Name {
    fn of(path: &Path) -> Result<Self, ErofsError> {
        let failed = |source: io::Error| ErofsError::Open { path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let file = File::open(&absolute).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
        if absolute.as_os_str().as_bytes().len() > MAX_VALUE {
            return Ok(Self::of_open(file));
        }
        Ok(Self { text: absolute, _open: None })
    }

    fn of_open(file: File) -> Self {
        let text = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Self { text, _open: Some(file) }
    }
}
