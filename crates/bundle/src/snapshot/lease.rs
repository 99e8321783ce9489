//! Leases: what living processes use stays, whoever collects.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use corten_spec::DiffId;
use rustix::fs::FlockOperation;

use super::error::{SnapshotError, io_error};
use super::files::{self, Hold, LEASES};
use super::{Snapshots, name_of, name_of_stack};

/// Keeps the forms of one stack until it is dropped or its process ends, however that happens.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _locked: File,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What cannot be removed is unlocked with its file, and swept by the next collection.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Snapshots {
    /// Keeps the layers `diff_ids` and their stack, whether they are ready or still to be made.
    pub fn lease(&self, diff_ids: &[DiffId]) -> Result<Lease, SnapshotError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let _shared = self.files.lock(Hold::Shared)?;
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = self.files.path(LEASES, &format!("{}-{count}", std::process::id()));
            let mut file = match files::open_private(&path, OpenOptions::new().create_new(true)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(io_error(&path, "creation")(error)),
            };
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
                .map_err(|errno| io_error(&path, "lock")(errno.into()))?;
            let mut names = name_of_stack(diff_ids);
            for diff_id in diff_ids {
                names.push('\n');
                names.push_str(&name_of(&diff_id.0));
            }
            file.write_all(names.as_bytes()).map_err(io_error(&path, "writing"))?;
            return Ok(Lease { path, _locked: file });
        }
    }

    /// The names that living leases keep; leases of the dead are removed. To be called under the
    /// exclusive lock.
    pub(super) fn leased(&self) -> Result<BTreeSet<String>, SnapshotError> {
        let folder = self.files.folder(LEASES);
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&folder).map_err(io_error(&folder, "listing"))? {
            let path = entry.map_err(io_error(&folder, "listing"))?.path();
            let Ok(file) = files::open_private(&path, &mut OpenOptions::new()) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                std::fs::remove_file(&path).map_err(io_error(&path, "removal"))?;
            } else if let Ok(text) = files::read_note(&path) {
                names.extend(text.lines().map(str::to_owned));
            }
        }
        Ok(names)
    }
}
