//! The caches of `RUN --mount=type=cache` as people manage them: which there are, how large, and away with them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corten_layer::{Compression, pack_directory};
use rustix::fs::{FlockOperation, flock};

use crate::assemble::built;
use crate::base::BuiltLayer;
use crate::cache::{read_small, write};
use crate::cache_mounts::{ABOUT, CACHES, CacheAbout, cache_options, lock_of, locked};
use crate::disk::disk_size;
use crate::error::{StepError, of_layer};

/// Most bytes of what is noted of one.
const MAX_NOTE: u64 = 64 * 1024;
/// What a directory is called that is on its way out.
const LEAVING: &str = "leaving-";

/// A directory that `RUN --mount=type=cache` keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMount {
    /// The name that it has among all.
    pub name: String,
    /// Which it is of those of its name: more than one where steps wanted one alone at the same time.
    pub number: usize,
    /// Its `id=`, where that is known.
    pub id: Option<String>,
    /// When it was used last.
    pub used: SystemTime,
    /// Whether a step uses it now.
    pub in_use: bool,
}

/// The caches of the builder's place.
///
/// # Errors
/// Where the directories cannot be read.
pub fn kept_mounts(place: &Path) -> std::io::Result<Vec<KeptMount>> {
    let mut mounts = Vec::new();
    for (directory, name) in crate::cache::entries(&place.join(CACHES))? {
        let about: Option<CacheAbout> = read_small(&directory.join(ABOUT), MAX_NOTE);
        for (data, number) in crate::cache::entries(&directory)? {
            let Ok(number) = number.parse::<usize>() else { continue };
            let (used, in_use) = match File::open(lock_of(&directory, number)) {
                Ok(lock) => {
                    let operation = FlockOperation::NonBlockingLockExclusive;
                    (lock.metadata()?.modified()?, flock(&lock, operation).is_err())
                }
                // Made by an older version, for a step that shared it.
                Err(_) => (data.symlink_metadata()?.modified()?, false),
            };
            let id = about.as_ref().map(|about| about.id.clone());
            mounts.push(KeptMount { name: name.clone(), number, id, used, in_use });
        }
    }
    mounts.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number)));
    Ok(mounts)
}

impl KeptMount {
    fn directory(&self, place: &Path) -> PathBuf {
        place.join(CACHES).join(&self.name)
    }

    /// Where its files are.
    pub fn path(&self, place: &Path) -> PathBuf {
        self.directory(place).join(self.number.to_string())
    }

    /// The bytes that it takes. They are looked at anew only where it was used since the last look.
    pub fn size(&self, place: &Path) -> u64 {
        let noted = self.directory(place).join(format!("{}.size", self.number));
        let is_current = noted.metadata().and_then(|metadata| metadata.modified());
        if !self.in_use
            && is_current.is_ok_and(|looked| looked > self.used)
            && let Some(size) = read_small(&noted, MAX_NOTE)
        {
            return size;
        }
        let size = disk_size(&self.path(place)).unwrap_or_default();
        if !self.in_use {
            // What is not noted is looked at again.
            let _ = write(&noted, &size);
        }
        size
    }

    /// Removes it, unless a step uses it or has used it since `cutoff`; whether it did. One that is killed meanwhile
    /// is as good as removed.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, place: &Path, cutoff: SystemTime) -> std::io::Result<bool> {
        let directory = self.directory(place);
        let lock = lock_of(&directory, self.number);
        let used = lock.metadata().and_then(|metadata| metadata.modified()).unwrap_or(self.used);
        if used >= cutoff {
            return Ok(false);
        }
        let operation = FlockOperation::NonBlockingLockExclusive;
        let held = locked(&directory, self.number, operation).map_err(std::io::Error::other)?;
        let Some(held) = held else { return Ok(false) };
        let data = directory.join(self.number.to_string());
        let leaving = directory.join(format!("{LEAVING}{}.{}", self.number, std::process::id()));
        match std::fs::rename(&data, &leaving) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        corten_run::erase(&leaving)?;
        let _ = std::fs::remove_file(directory.join(format!("{}.size", self.number)));
        // Who waits for this lock sees that it is no longer the one, and makes another.
        std::fs::remove_file(&lock)?;
        drop(held);
        clear(&directory);
        Ok(true)
    }
}

/// Packs a cache mount, in zstd, with owners, modes and times: the same files give the same layer. `None` where it is
/// not here or a step uses it.
///
/// # Errors
/// Where its files cannot be packed.
pub fn pack_mount<W: std::io::Write>(
    place: &Path,
    name: &str,
    out: W,
) -> Result<Option<(BuiltLayer, W)>, StepError> {
    let directory = place.join(CACHES).join(name);
    let data = directory.join("0");
    if !data.is_dir() {
        return Ok(None);
    }
    // Nobody else reads the directory in the meantime, and nobody writes to it.
    let held = locked(&directory, 0, FlockOperation::NonBlockingLockExclusive)?;
    let Some(_held) = held else { return Ok(None) };
    let options = cache_options(Compression::Zstd);
    let (tree, out) = pack_directory(&data, &options, out).map_err(of_layer(data.display()))?;
    Ok(Some((built(tree.packed), out)))
}

/// Removes what killed removals have left, and killed builds that began before `cutoff`.
///
/// # Errors
/// Where the directories cannot be read.
pub fn sweep_killed(place: &Path, cutoff: SystemTime) -> std::io::Result<()> {
    crate::cache::sweep_staged(place, cutoff)?;
    for (directory, _) in crate::cache::entries(&place.join(CACHES))? {
        for entry in std::fs::read_dir(&directory)?.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let is_staged = name.starts_with(".tmp")
                && entry.metadata()?.modified().is_ok_and(|made| made < cutoff);
            if name.starts_with(LEAVING) || (is_staged && path.is_dir()) {
                corten_run::erase(&path)?;
            } else if is_staged {
                std::fs::remove_file(&path)?;
            } else if let Some((number, "lock" | "size")) = name.split_once('.')
                && let Ok(number) = number.parse()
            {
                remove_notes(&directory, number)?;
            }
        }
        clear(&directory);
    }
    Ok(())
}

/// Removes the lock and the size of a cache that is gone.
fn remove_notes(directory: &Path, number: usize) -> std::io::Result<()> {
    let data = directory.join(number.to_string());
    if data.exists() {
        return Ok(());
    }
    let operation = FlockOperation::NonBlockingLockExclusive;
    let held = locked(directory, number, operation).map_err(std::io::Error::other)?;
    // Who makes it anew has the lock.
    if held.is_some() && !data.exists() {
        let _ = std::fs::remove_file(directory.join(format!("{number}.size")));
        std::fs::remove_file(lock_of(directory, number))?;
    }
    Ok(())
}

/// Removes the directory of a name that has no cache left.
fn clear(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    if entries.into_iter().all(|entry| entry.file_name() == ABOUT) {
        let _ = std::fs::remove_file(directory.join(ABOUT));
        let _ = std::fs::remove_dir(directory);
    }
}
