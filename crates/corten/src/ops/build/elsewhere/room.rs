//! A directory for what is fetched before a build begins, locked while it lives: what a killed one leaves, the
//! next one takes away.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corten_store::private;
use rustix::fs::FlockOperation;

use super::{failed, kept};
use crate::Failure;

/// The directory.
pub(super) struct Room {
    path: PathBuf,
    _locked: File,
}

impl Room {
    /// Makes a new one in `place`.
    pub(super) fn new(place: PathBuf) -> Result<Self, Failure> {
        let place = kept(place)?;
        let wrong = |action| failed(place.display(), action);
        // Between its making and its lock, a new one looks like one that was left.
        let all = File::open(&place).map_err(wrong("opening"))?;
        lock(&all, FlockOperation::LockExclusive).map_err(wrong("lock"))?;
        sweep(&place);
        let mut made = tempfile::Builder::new();
        let made = made.permissions(private::of_directories()).tempdir_in(&place);
        let made = made.map_err(wrong("creation"))?;
        let locked = File::open(made.path()).map_err(wrong("opening"))?;
        lock(&locked, FlockOperation::LockShared).map_err(wrong("lock"))?;
        Ok(Self { path: made.keep(), _locked: locked })
    }

    /// A new directory in it, for a context: its mode may come to be that of a directory in an image.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).map_err(failed(path.display(), "creation"))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).map_err(failed(path.display(), "change of mode"))?;
        Ok(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed now, the next build removes.
        let _ = corten_run::erase(&self.path);
    }
}

fn lock(file: &File, how: FlockOperation) -> std::io::Result<()> {
    Ok(rustix::fs::flock(file, how)?)
}

fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let Ok(file) = File::open(entry.path()) else { continue };
        if lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = corten_run::erase(&entry.path());
        }
    }
}
