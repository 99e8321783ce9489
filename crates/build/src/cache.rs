//! Which layer a step gave: one small file per key, written whole by rename and checked when it is used.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use corten_store::LayoutStore;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};

use crate::base::BuiltLayer;
use crate::error::{Result, failed};
use crate::key::CacheKey;

/// Where the entries are, below the builder's place.
pub(crate) const STEPS: &str = "steps";
/// Most bytes of an entry.
const MAX_ENTRY: u64 = 64 * 1024;

/// The cache of steps.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Opens the directory, which is made where it is missing.
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory).map_err(failed(directory.display(), "creation"))?;
        Ok(Self { directory })
    }

    /// The layer of a key, where the store still has it: it stays there for the grace of the next collection.
    pub(crate) fn layer(&self, key: &CacheKey, store: &LayoutStore) -> Option<BuiltLayer> {
        let layer = read(&self.directory.join(key.as_str()))?;
        let blob = store.blob_file(&layer.descriptor.digest).ok()?;
        if blob.metadata().ok()?.len() != layer.descriptor.size {
            return None;
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&blob, &Timestamps { last_access: now, last_modification: now }).ok()?;
        Some(layer)
    }

    /// Keeps the layer of a key.
    pub(crate) fn keep(&self, key: &CacheKey, layer: &BuiltLayer) -> Result<()> {
        let path = self.directory.join(key.as_str());
        let shown = path.display();
        let bytes = serde_json::to_vec(layer).map_err(|error| failed(&shown, "writing")(error))?;
        let file = tempfile::NamedTempFile::new_in(&self.directory);
        let mut file = file.map_err(failed(&shown, "creation"))?;
        file.write_all(&bytes).map_err(failed(&shown, "writing"))?;
        file.persist(&path).map_err(|error| failed(&shown, "writing")(error.error))?;
        Ok(())
    }
}

/// Forgets which layers steps gave that `store` has no longer; how many. `place` is that of the builder: where it
/// never built, there is nothing to forget.
///
/// # Errors
/// Where the directory cannot be read or changed.
pub fn forget_lost(place: &Path, store: &LayoutStore) -> std::io::Result<u64> {
    let entries = match std::fs::read_dir(place.join(STEPS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut forgotten = 0;
    for entry in entries {
        let path = entry?.path();
        let is_here = |layer: BuiltLayer| store.blob_file(&layer.descriptor.digest).is_ok();
        // One that is being written has another name, and is its writer's.
        let is_entry = path.extension().is_none() && !path.file_name().is_some_and(is_hidden);
        if is_entry && !read(&path).is_some_and(is_here) {
            std::fs::remove_file(&path)?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn read(path: &Path) -> Option<BuiltLayer> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
