//! What was fetched, as people manage it: files by their addresses, repositories by their remotes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corten_build::disk_size;
use corten_spec::Digest;
use rustix::fs::{FlockOperation, flock};

use super::{failed, files};
use crate::Failure;

/// Most bytes of the name of a repository.
const MAX_ABOUT: u64 = 16 * 1024;

/// Something that was fetched and is kept.
pub(in crate::ops) struct KeptSource {
    /// `http` or `git`.
    pub(in crate::ops) how: &'static str,
    /// The name of its file or directory.
    pub(in crate::ops) id: String,
    /// Its address, without passwords and queries.
    pub(in crate::ops) about: Option<String>,
    /// The bytes that it takes and nothing else has.
    pub(in crate::ops) size: u64,
    /// When it was used last.
    pub(in crate::ops) used: SystemTime,
    /// Whether somebody fetches into it now.
    pub(in crate::ops) in_use: bool,
    content: Option<Digest>,
}

/// All that was fetched. `place` is the builder's.
pub(in crate::ops) fn kept_sources(place: &Path) -> Result<Vec<KeptSource>, Failure> {
    let mut sources = fetched_files(place)?;
    for path in listed(&place.join("git"))? {
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let repository = path.with_extension("");
        let Ok(size) = disk_size(&repository) else { continue };
        let wrong = |action| failed(path.display(), action);
        let lock = File::open(&path).map_err(wrong("opening"))?;
        let used = lock.metadata().and_then(|metadata| metadata.modified());
        let mut about = String::new();
        if let Ok(file) = File::open(path.with_extension("about")) {
            use std::io::Read as _;
            // Who it is of is told where it is known.
            let _ = file.take(MAX_ABOUT).read_to_string(&mut about);
        }
        sources.push(KeptSource {
            how: "git",
            id: file_name(&repository),
            about: (!about.is_empty()).then_some(about),
            size,
            used: used.map_err(wrong("reading metadata"))?,
            in_use: flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
            content: None,
        });
    }
    Ok(sources)
}

fn fetched_files(place: &Path) -> Result<Vec<KeptSource>, Failure> {
    let (mut sources, mut seen) = (Vec::new(), BTreeMap::new());
    for path in listed(&place.join("files-of"))? {
        let Some(note) = files::read(&path) else { continue };
        let file = place.join("fetched").join(note.digest.encoded());
        let Ok(metadata) = file.symlink_metadata() else { continue };
        let used = metadata.modified().map_err(failed(file.display(), "reading metadata"))?;
        // What two addresses have is there once.
        let is_first = seen.insert(note.digest.clone(), ()).is_none();
        sources.push(KeptSource {
            how: "http",
            id: file_name(&path),
            about: note.shown.clone(),
            size: if is_first { metadata.len() } else { 0 },
            used,
            in_use: false,
            content: Some(note.digest),
        });
    }
    Ok(sources)
}

impl KeptSource {
    /// Removes it, unless it was used since `cutoff` or is in use; whether it did.
    pub(in crate::ops) fn remove(&self, place: &Path, cutoff: SystemTime) -> Result<bool, Failure> {
        if self.used >= cutoff {
            return Ok(false);
        }
        match &self.content {
            Some(digest) => self.remove_file(place, digest),
            None => self.remove_repository(place),
        }
    }

    fn remove_file(&self, place: &Path, digest: &Digest) -> Result<bool, Failure> {
        let notes = place.join("files-of");
        gone(&notes.join(&self.id))?;
        let others = listed(&notes)?;
        let has = |path: &PathBuf| files::read(path).is_some_and(|note| note.digest == *digest);
        if !others.iter().any(has) {
            gone(&place.join("fetched").join(digest.encoded()))?;
        }
        Ok(true)
    }

    fn remove_repository(&self, place: &Path) -> Result<bool, Failure> {
        let repository = place.join("git").join(&self.id);
        // The lock stays, as somebody may wait for it.
        let path = repository.with_extension("lock");
        let lock = File::open(&path).map_err(failed(path.display(), "opening"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        let wrong = failed(repository.display(), "removal");
        std::fs::remove_dir_all(&repository).map_err(wrong)?;
        gone(&repository.with_extension("about"))?;
        Ok(true)
    }
}

fn gone(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed(path.display(), "removal")),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = || failed(directory.display(), "listing");
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(wrong())?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(wrong())?;
    // One that is being written is its writer's.
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}
