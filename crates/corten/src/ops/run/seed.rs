//! The first content of a volume: what the image has at its place.

use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use corten_bundle::Powers;
use corten_layer::{
    Compression, LayerError, Limits, PackOptions, Precision, Root, RootEntry, Whiteouts,
    XattrChoice, apply, pack_directory,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Fills `volume`, a new directory, with what the root filesystem has at `target`, its owner and mode
/// among it. Symbolic links on the way stay inside the root. Nothing there is an empty volume.
pub(super) fn seed(
    rootfs: &Path,
    target: &str,
    volume: &Path,
    powers: Powers,
) -> Result<(), LayerError> {
    let failed = |action: &'static str| {
        let path = volume.to_owned();
        move |source: std::io::Error| LayerError::File { path, action, source }
    };
    let Some(source) = inside(rootfs, target).map_err(failed("looking for its first content"))?
    else {
        return Ok(());
    };
    let options = PackOptions {
        precision: Precision::Nanoseconds,
        xattrs: XattrChoice::Trusted,
        root: RootEntry::Keep,
        ..PackOptions::new(Compression::None)
    };
    let spool = tempfile::tempfile().map_err(failed("spooling its first content"))?;
    let from = format!("/proc/self/fd/{}", source.as_raw_fd());
    let (_, mut spool) = pack_directory(Path::new(&from), &options, spool)?;
    spool.seek(SeekFrom::Start(0)).map_err(failed("spooling its first content"))?;
    let root = Root::open(volume)?;
    apply(spool, &root, &powers.apply(Whiteouts::Remove), Limits::default()).map(drop)
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
