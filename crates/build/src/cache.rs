//! Which layer a step gave: one small file per key, written whole by rename and checked when it is used; beside it
//! what the step was made by, for people who ask.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corten_store::{LayoutStore, private};
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};
use serde::{Deserialize, Serialize};

use crate::base::BuiltLayer;
use crate::error::{Result, failed};
use crate::key::{CacheKey, KeyInput};

/// Where the entries are, below the builder's place.
const STEPS: &str = "steps";
/// Where what they were made by is.
const ORIGINS: &str = "origins";
/// The lock: shared by who finds a layer and says that it was used, exclusive for who takes layers away.
const LOCK: &str = "lock";
/// Most bytes of an entry.
const MAX_ENTRY: u64 = 64 * 1024;
/// Most bytes of what one was made by.
const MAX_ORIGIN: u64 = 1024 * 1024;

/// What a step was made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOrigin {
    /// Its stage.
    pub stage: String,
    /// The line of the Dockerfile that it stands in.
    pub line: usize,
    /// The instruction, shortened.
    pub text: String,
    /// When it was carried out, in seconds after 1970.
    pub made: u64,
    /// What its key was made of.
    pub inputs: Vec<KeyInput>,
}

/// A step in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptStep {
    /// Its key.
    pub key: String,
    /// Its layer.
    pub layer: BuiltLayer,
    /// When it was used last.
    pub used: SystemTime,
}

/// The cache of steps.
#[derive(Debug)]
pub(crate) struct Cache {
    place: PathBuf,
    lock: File,
}

impl Cache {
    /// Opens the cache of the builder's place; its directories are made where they are missing.
    pub(crate) fn open(place: &Path) -> Result<Self> {
        for name in [STEPS, ORIGINS] {
            let directory = place.join(name);
            private::make_directories(&directory)
                .map_err(failed(directory.display(), "creation"))?;
        }
        let lock = place.join(LOCK);
        let lock = open_lock(&lock).map_err(failed(lock.display(), "opening"))?;
        Ok(Self { place: place.to_owned(), lock })
    }

    /// The layer of a key, where the store still has it: it stays there for the grace of the next collection.
    pub(crate) fn layer(&self, key: &CacheKey, store: &LayoutStore) -> Option<BuiltLayer> {
        flock(&self.lock, FlockOperation::LockShared).ok()?;
        let found = self.found(key, store);
        flock(&self.lock, FlockOperation::Unlock).ok()?;
        found
    }

    fn found(&self, key: &CacheKey, store: &LayoutStore) -> Option<BuiltLayer> {
        let file = File::open(self.place.join(STEPS).join(key.as_str())).ok()?;
        let layer = read(&file)?;
        let blob = store.blob_file(&layer.descriptor.digest).ok()?;
        if blob.metadata().ok()?.len() != layer.descriptor.size {
            return None;
        }
        touch(&blob).ok()?;
        touch(&file).ok()?;
        Some(layer)
    }

    /// Keeps the layer of a key.
    pub(crate) fn keep(
        &self,
        key: &CacheKey,
        layer: &BuiltLayer,
        origin: &StepOrigin,
    ) -> Result<()> {
        write(&self.place.join(ORIGINS).join(key.as_str()), origin)?;
        write(&self.place.join(STEPS).join(key.as_str()), layer)
    }
}

/// Writes a value whole or not at all. It is a hint: nothing waits for the disk.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let shown = path.display();
    let bytes = serde_json::to_vec(value).map_err(|error| failed(&shown, "writing")(error))?;
    let directory = path.parent().unwrap_or(path);
    let file = tempfile::NamedTempFile::new_in(directory);
    let mut file = file.map_err(failed(&shown, "creation"))?;
    file.write_all(&bytes).map_err(failed(&shown, "writing"))?;
    file.persist(path).map_err(|error| failed(&shown, "writing")(error.error))?;
    Ok(())
}

/// Says that a file was used now.
pub(crate) fn touch(file: &File) -> std::io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(futimens(file, &Timestamps { last_access: now, last_modification: now })?)
}

/// Opens a file that is a lock, made where it is missing.
pub(crate) fn open_lock(path: &Path) -> std::io::Result<File> {
    private::open(path)
}

/// Keeps builds from finding layers for as long as it is held: what is taken away meanwhile, none of them uses.
#[derive(Debug)]
pub struct CacheLock {
    place: PathBuf,
    _file: File,
}

impl CacheLock {
    /// Waits for the lock of the builder's place; `None` where it never built.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn take(place: &Path) -> std::io::Result<Option<Self>> {
        if !place.join(STEPS).is_dir() {
            return Ok(None);
        }
        let file = open_lock(&place.join(LOCK))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Some(Self { place: place.to_owned(), _file: file }))
    }

    /// Forgets a step that was not used since `cutoff`; whether it did.
    ///
    /// # Errors
    /// Where its entry cannot be removed.
    pub fn forget(&self, key: &str, cutoff: SystemTime) -> std::io::Result<bool> {
        let path = self.place.join(STEPS).join(key);
        let is_old = match path.symlink_metadata() {
            Ok(metadata) => metadata.modified()? < cutoff,
            Err(_) => false,
        };
        if is_old {
            std::fs::remove_file(&path)?;
        }
        Ok(is_old)
    }

    /// Forgets which layers steps gave that `store` has no longer; how many.
    ///
    /// # Errors
    /// Where the directory cannot be read or changed.
    pub fn forget_lost(&self, store: &LayoutStore) -> std::io::Result<u64> {
        let mut forgotten = 0;
        for (path, _) in entries(&self.place.join(STEPS))? {
            let layer = File::open(&path).ok().and_then(|file| read(&file));
            if layer.is_none_or(|layer| store.blob_file(&layer.descriptor.digest).is_err()) {
                std::fs::remove_file(&path)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Forgets what steps were made by that are neither in the cache nor in a build that is remembered.
    ///
    /// # Errors
    /// Where the directory cannot be read or changed.
    pub fn forget_origins(&self) -> std::io::Result<()> {
        let builds = crate::builds::kept_builds(&self.place)?;
        let steps = builds.iter().flat_map(|build| &build.steps);
        let told: std::collections::BTreeSet<&str> =
            steps.filter_map(|step| step.key.as_deref()).collect();
        for (path, name) in entries(&self.place.join(ORIGINS))? {
            if !told.contains(name.as_str()) && !self.place.join(STEPS).join(&name).exists() {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes files that killed builds have not given their names, of those that began before `cutoff`.
pub(crate) fn sweep_staged(place: &Path, cutoff: SystemTime) -> std::io::Result<()> {
    let directories = [STEPS, ORIGINS, crate::builds::BUILDS].map(|name| place.join(name));
    for directory in directories.iter().map(PathBuf::as_path).chain([place]) {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let entry = entry?;
            let is_staged = entry.file_name().as_encoded_bytes().starts_with(b".tmp");
            // One that is gone meanwhile has its name, or none any more.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if is_staged && metadata.is_file() && metadata.modified()? < cutoff {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

/// The steps in the cache of the builder's place. What cannot be read is none.
///
/// # Errors
/// Where the directory cannot be read.
pub fn kept_steps(place: &Path) -> std::io::Result<Vec<KeptStep>> {
    let mut steps = Vec::new();
    for (path, key) in entries(&place.join(STEPS))? {
        let Ok(file) = File::open(&path) else { continue };
        let used = file.metadata()?.modified()?;
        steps.extend(read(&file).map(|layer| KeptStep { key, layer, used }));
    }
    Ok(steps)
}

/// What a step was made by, where that is known.
pub fn step_origin(place: &Path, key: &str) -> Option<StepOrigin> {
    read_small(&place.join(ORIGINS).join(key), MAX_ORIGIN)
}

/// What all steps were made by that this is known of, by their keys.
pub(crate) fn origins(place: &Path) -> std::io::Result<Vec<(String, StepOrigin)>> {
    let all = entries(&place.join(ORIGINS))?.into_iter();
    Ok(all.filter_map(|(path, key)| Some((key, read_small(&path, MAX_ORIGIN)?))).collect())
}

/// The files of a directory that have their names for good; none where there is no directory.
pub(crate) fn entries(directory: &Path) -> std::io::Result<Vec<(PathBuf, String)>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // One that is being written has another name, and is its writer's.
        if !name.contains('.') {
            found.push((entry.path(), name));
        }
    }
    Ok(found)
}

/// A value that is no longer than `limit` bytes.
pub(crate) fn read_small<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Option<T> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn read(file: &File) -> Option<BuiltLayer> {
    let mut bytes = Vec::new();
    file.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
