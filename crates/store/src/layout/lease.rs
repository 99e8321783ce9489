//! The lock of a layout, and the leases by which writers keep what they have not named yet.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{LEASES, LOCK, LayoutStore};
use crate::StoreError;
use crate::beneath::{Beneath, io_error, touch};

/// How long a lease protects what was written under it: no single copy may take longer.
pub const LEASE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How the lock of a layout is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// By those who look whether a blob is present and stamp it.
    Shared,
    /// By who edits `index.json` or deletes.
    Exclusive,
}

/// Whose leases count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Everybody's.
    All,
    /// Everybody's but that of the handle that asks.
    Others,
}

/// Holds the lock until dropped. Each holder opens the file anew, so threads of one process
/// exclude each other as processes do.
pub(super) struct Held {
    _file: File,
}

/// A file that is locked for as long as its handle may have written what no name leads to yet.
#[derive(Debug)]
pub(super) struct Lease {
    root: Arc<Beneath>,
    path: String,
    _file: File,
}

impl LayoutStore {
    pub(super) fn lock(&self, how: Lock) -> Result<Held, StoreError> {
        let root = &self.inner.root;
        root.make_dir(".corten")?;
        let file = root.open_or_create(LOCK)?;
        let operation = match how {
            Lock::Shared => FlockOperation::LockShared,
            Lock::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Held { _file: file }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_error(&root.full(LOCK), "lock", errno.into())),
            }
        }
    }

    pub(super) fn has_lease(&self) -> bool {
        self.inner.lease.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Keeps what this handle finds here or writes from collections, as long as it lives and for at most
    /// [`LEASE_LIMIT`]. A handle that writes does so by itself.
    pub fn hold(&self) -> Result<(), StoreError> {
        self.take_lease()
    }

    /// Takes the lease of this handle, where it has none yet.
    pub(super) fn take_lease(&self) -> Result<(), StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mut lease = self.inner.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.is_some() {
            return Ok(());
        }
        let root = &self.inner.root;
        root.make_dir(LEASES)?;
        // Whoever collects holds this exclusively: either the lease is seen, or collection is over.
        let _lock = self.lock(Lock::Shared)?;
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = format!("{LEASES}/{}-{count}", std::process::id());
            let file = root.open_or_create(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if root.is_same(&path, &file)? => {
                    touch(&file).map_err(|e| io_error(&root.full(&path), "change of times", e))?;
                    *lease = Some(Lease { root: root.clone(), path, _file: file });
                    return Ok(());
                }
                // Another process of the same number, in another container.
                Ok(()) | Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(io_error(&root.full(&path), "lock", errno.into())),
            }
        }
    }

    /// When the oldest living lease was taken; leases of the dead are removed. To be called under
    /// the exclusive lock.
    pub(super) fn oldest_lease(&self, whose: Whose) -> Result<Option<SystemTime>, StoreError> {
        let root = &self.inner.root;
        let own = self.inner.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.as_ref().map(|lease| lease.path.clone());
        let mut oldest = None;
        for name in root.list(LEASES)? {
            let path = format!("{LEASES}/{name}");
            if whose == Whose::Others && own.as_ref() == Some(&path) {
                continue;
            }
            let Some(file) = root.read(&path)? else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                root.remove(&path)?;
                continue;
            }
            let meta = file.metadata().map_err(|e| io_error(&root.full(&path), "stat", e))?;
            let taken = meta.modified().map_err(|e| io_error(&root.full(&path), "stat", e))?;
            oldest = Some(oldest.map_or(taken, |oldest: SystemTime| oldest.min(taken)));
        }
        Ok(oldest)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What cannot be removed is unlocked by the drop of its file, and swept later.
        let _ = self.root.remove(&self.path);
    }
}
