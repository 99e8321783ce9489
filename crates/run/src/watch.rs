//! Waits for a change of a directory's files.

use crate::error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// A look is taken at least this often, should a change go unseen, as the release of a lock does.
pub(crate) const LONGEST: Duration = Duration::from_millis(200);

/// How often a look is taken where the machine has no watch to give: it counts them by user.
const WITHOUT: Duration = Duration::from_millis(20);

/// Tells that something changed in a directory since the last look.
#[derive(Debug)]
pub(crate) struct Watch(Option<OwnedFd>);

impl Watch {
    /// Watches a directory, which must be there.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        match watch(dir) {
            Ok(fd) => Ok(Self(Some(fd))),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSPC) if dir.exists() => Ok(Self(None)),
            Err(error) => Err(error).doing(|| format!("watch {}", dir.display())),
        }
    }

    /// Waits until something changes or the time is over, at most [`LONGEST`].
    pub(crate) fn wait(&self, at_most: Duration) -> Result<()> {
        let Some(fd) = &self.0 else {
            std::thread::sleep(at_most.min(WITHOUT));
            return Ok(());
        };
        let time = Timespec::try_from(at_most.min(LONGEST)).ok();
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| "wait for a change".to_owned()),
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(fd, &mut buffer).is_ok_and(|got| got > 0) {}
        Ok(())
    }
}

fn watch(dir: &Path) -> rustix::io::Result<OwnedFd> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let changes = WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(&fd, dir, changes)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_at_once_and_also_where_watches_have_run_out() {
        let scratch = tempfile::tempdir().unwrap();
        let watch = Watch::new(scratch.path()).unwrap();
        std::fs::write(scratch.path().join("file"), "").unwrap();
        let begun = std::time::Instant::now();
        watch.wait(LONGEST).unwrap();
        assert!(begun.elapsed() < LONGEST);
        Watch(None).wait(Duration::from_millis(1)).unwrap();
        assert!(Watch::new(&scratch.path().join("none")).is_err());
    }
}
