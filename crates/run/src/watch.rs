//! Waits for a change of a directory's files.

use crate::error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// A look is taken at least this often, should a change go unseen, as the release of a lock does.
pub(crate) const LONGEST: Duration = Duration::from_millis(200);

/// Tells that something changed in a directory since the last look.
#[derive(Debug)]
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let watching = || format!("watch {}", dir.display());
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).doing(watching)?;
        let changes = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&fd, dir, changes).doing(watching)?;
        Ok(Self(fd))
    }

    /// Waits until something changes or the time is over, at most [`LONGEST`].
    pub(crate) fn wait(&self, at_most: Duration) -> Result<()> {
        let time = Timespec::try_from(at_most.min(LONGEST)).ok();
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], time.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| "wait for a change".to_owned()),
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|got| got > 0) {}
        Ok(())
    }
}
