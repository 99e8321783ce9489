//! What was fetched and is not used any more.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use super::failed;
use crate::Failure;

/// Removes what no build of the last `grace` used. `place` is the builder's; one that goes on keeps what it has.
pub(in crate::ops) fn forget_fetched(
    place: &Path,
    grace: Duration,
    now: SystemTime,
) -> Result<(), Failure> {
    let limit = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
    for name in ["files-of", "fetched"] {
        each(&place.join(name), &mut |path| {
            if is_older(path, limit)? { std::fs::remove_file(path) } else { Ok(()) }
        })?;
    }
    // A lock is written to when it is taken; it stays, as somebody may wait for it.
    each(&place.join("git"), &mut |path| {
        let repository = path.with_extension("");
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if !is_lock || !repository.is_dir() || !is_older(path, limit)? {
            return Ok(());
        }
        let lock = File::open(path)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => std::fs::remove_dir_all(&repository),
            Err(_) => Ok(()),
        }
    })
}

fn is_older(path: &Path, limit: SystemTime) -> std::io::Result<bool> {
    Ok(path.symlink_metadata()?.modified()? <= limit)
}

fn each(
    directory: &Path,
    act: &mut dyn FnMut(&Path) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(directory.display(), "listing"))?,
    };
    for entry in entries {
        let path = entry.map_err(failed(directory.display(), "listing"))?.path();
        match act(&path) {
            // Somebody else was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            done => done.map_err(failed(path.display(), "removal"))?,
        }
    }
    Ok(())
}
