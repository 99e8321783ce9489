//! A directory of one build, locked while it lives: what a killed build leaves, the next one takes away.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use corten_run::{ContainerId, Guard};
use corten_store::private;
use rustix::fs::FlockOperation;

use crate::error::{Result, StepError, failed, refused};

/// Where they are, below the builder's place.
pub(crate) const ROOMS: &str = "rooms";

/// The directory.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    _locked: File,
    guard: Mutex<Post>,
    bell: Condvar,
}

/// Whether a guard stands.
#[derive(Debug)]
enum Post {
    Empty,
    Wanted,
    Held(Guard),
    Failed(String),
    Closed,
}

impl Work {
    /// Makes a new one in `place`, and sweeps those of the dead. What is needed briefly is kept in `memory`.
    pub(crate) fn begin(place: &Path, memory: Option<&Path>) -> Result<Self> {
        private::make_directories(place).map_err(failed(place.display(), "creation"))?;
        // Between its making and its lock, a new one looks like one that was left.
        let _all = all_locked(place).map_err(failed(place.display(), "lock"))?;
        sweep_dead(place);
        let id = ContainerId::random()?;
        let path = place.join(id.short());
        let shown = path.display();
        // Named as its lock is, which is there first.
        let lock = place.join(format!("{}.lock", id.short()));
        let file = private::create_new(&lock).map_err(failed(&shown, "creation"))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(failed(&shown, "lock"))?;
        corten_run::make_room(&path, memory)?;
        Ok(Self { path, _locked: file, guard: Mutex::new(Post::Empty), bell: Condvar::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where bundles belong.
    pub(crate) fn bundles(&self) -> PathBuf {
        corten_run::bundles(&self.path)
    }

    /// Has the guard stand before the first process, if it does not yet.
    pub(crate) fn guarded(&self) -> Result<()> {
        let mut post = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*post, Post::Empty) {
            *post = Post::Wanted;
            self.bell.notify_all();
        }
        while matches!(*post, Post::Wanted) {
            post = self.bell.wait(post).unwrap_or_else(PoisonError::into_inner);
        }
        match &*post {
            Post::Held(_) => Ok(()),
            Post::Failed(text) => refused(text.clone()),
            _ => Err(StepError::Cancelled),
        }
    }

    /// Starts the guard once it is wanted. The thread that does has none of the mounts of stages: a guard that
    /// saw them would keep them.
    pub(crate) fn attend(&self) {
        let mut post = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(*post, Post::Empty) {
            post = self.bell.wait(post).unwrap_or_else(PoisonError::into_inner);
        }
        if matches!(*post, Post::Wanted) {
            *post = match Guard::start(&self.path) {
                Ok(guard) => Post::Held(guard),
                Err(error) => Post::Failed(error.to_string()),
            };
        }
        self.bell.notify_all();
    }

    /// No guard will be wanted any more.
    pub(crate) fn close(&self) {
        let mut post = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*post, Post::Empty) {
            *post = Post::Closed;
        }
        self.bell.notify_all();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut post = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        // The guard sweeps; without one no process was run.
        if let Post::Held(guard) = std::mem::replace(&mut *post, Post::Closed) {
            drop(guard);
        }
        drop(post);
        let _ = corten_run::sweep(&self.path);
        let _ = std::fs::remove_file(self.path.with_extension("lock"));
    }
}

/// Keeps others from beginning and from looking who lives.
fn all_locked(place: &Path) -> std::io::Result<File> {
    let all = File::open(place)?;
    rustix::fs::flock(&all, FlockOperation::LockExclusive)?;
    Ok(all)
}

/// When the oldest of the builds began that go on now; `None` where none does. `place` is that of the builder.
///
/// # Errors
/// Where the rooms of builds cannot be looked at.
pub fn building_since(place: &Path) -> std::io::Result<Option<std::time::SystemTime>> {
    let rooms = place.join(ROOMS);
    let _all = match all_locked(&rooms) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        locked => locked?,
    };
    let mut since = None;
    for entry in std::fs::read_dir(&rooms)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        // One that ends meanwhile takes its lock away.
        let Ok(file) = File::open(&path) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
            let began = file.metadata()?.modified()?;
            since = Some(since.map_or(began, |since: std::time::SystemTime| since.min(began)));
        }
    }
    Ok(since)
}

/// What cannot be swept now, the next build sweeps.
fn sweep_dead(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let path = lock.with_extension("");
        if corten_run::sweep(&path).is_ok() || !path.exists() {
            let _ = std::fs::remove_file(&lock);
        }
    }
}
