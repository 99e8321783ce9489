//! The first content of a volume: what the image has at its place.

use std::os::fd::AsFd as _;
use std::path::Path;

use corten_bundle::Powers;
use corten_layer::{CopyOwners, CopyTree, LayerError, Limits, copy_tree};
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Fills `volume`, a new directory, with what the root filesystem has at `target`, its owner and mode
/// among it, but for devices: they have no place in what outlives the image. Symbolic links on the way stay inside
/// the root. Nothing there is an empty volume. It ends where `is_unwanted` comes to say so.
pub(super) fn seed(
    (rootfs, target): (&Path, &str),
    volume: &Path,
    powers: Powers,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<(), LayerError> {
    let failed = |action: &'static str| {
        let path = volume.to_owned();
        move |source: std::io::Error| LayerError::File { path, action, source }
    };
    let Some(source) = inside(rootfs, target).map_err(failed("looking for its first content"))?
    else {
        return Ok(());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let volume = rustix::fs::open(volume, flags, Mode::empty());
    let volume = volume.map_err(|errno| failed("opening")(errno.into()))?;
    let owners = match powers {
        Powers::OneId => CopyOwners::Caller,
        _ => CopyOwners::Keep,
    };
    let how = CopyTree { limits: Limits::default(), owners, is_unwanted };
    copy_tree(source.as_fd(), volume.as_fd(), &how).map(drop)
}

/// The directory at `path` inside `rootfs`, if one is there.
fn inside(rootfs: &Path, path: &str) -> std::io::Result<Option<rustix::fd::OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags | OFlags::PATH, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::RDONLY;
    match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(found)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
