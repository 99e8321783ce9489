//! The last step into a pid namespace where others are already: that of a container which runs, or of another
//! one whose processes are shared.
//!
//! Who may trace there would take over any process that enters with more than the container has: by its memory,
//! or by `/proc/PID/root`, `cwd` and `fd`. So the stage does all that needs rights outside of that namespace, goes
//! into the container's mounts, drops what the program shall not have, closes what it holds, and forks only then.
//! The child has two pipes besides what belongs to the program: one tells it to go on, one takes what failed.

use crate::error::{Doing, Error, Result};
use crate::order::{Channel, Failure, MESSAGE_LIMIT, Message};
use crate::sys;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Which side of the fork this is.
pub(crate) enum Side {
    /// The process that becomes the program.
    Child(Child),
    /// The stage, which tells of it.
    Leader(Leader),
}

/// The child's ends of the pipes.
pub(crate) struct Child {
    go: OwnedFd,
    report: OwnedFd,
}

/// The stage's ends, and the child's pid in the caller's numbering.
pub(crate) struct Leader {
    pid: i32,
    go: OwnedFd,
    report: OwnedFd,
}

/// Forks into the pid namespace that was joined for children. `own` are the descriptors from `first` on that are
/// still needed on both sides; all others are closed. On neither side is anything dropped from here on.
pub(crate) fn fork(channel: &Channel, first: RawFd, own: &[RawFd]) -> Result<Side> {
    let pipe = || {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let lift = |end| rustix::io::fcntl_dupfd_cloexec(end, first);
        Ok::<_, rustix::io::Errno>((lift(read)?, lift(write)?))
    };
    let (go_on, go) = pipe().doing(|| "make a pipe")?;
    let (report, told) = pipe().doing(|| "make a pipe")?;
    let ends = [&go_on, &go, &report, &told].map(AsRawFd::as_raw_fd);
    let voice = channel.as_fd().as_raw_fd();
    let kept: Vec<_> = own.iter().copied().chain(ends).chain([voice]).collect();
    sys::close_all_but(first, &kept);
    match sys::fork_sibling().doing(|| "fork into the pid namespace of the container")? {
        None => {
            let ends = [&go_on, &told].map(AsRawFd::as_raw_fd);
            let kept: Vec<_> = own.iter().copied().chain(ends).collect();
            sys::close_all_but(first, &kept);
            std::mem::forget((go, report));
            Ok(Side::Child(Child { go: go_on, report: told }))
        }
        Some(pid) => {
            drop((go_on, told));
            Ok(Side::Leader(Leader { pid, go, report }))
        }
    }
}

impl Child {
    /// Waits for the word to go on, does what is to be done, and tells what failed. Never returns.
    pub(crate) fn act(self, act: impl FnOnce() -> Result<()>) -> ! {
        let Child { go, report } = self;
        let mut word = [0; 1];
        let called = rustix::io::retry_on_intr(|| rustix::io::read(&go, &mut word));
        // Without a word the stage is gone, and nobody waits for the program.
        if called == Ok(1)
            && let Err(error) = act()
            && let Ok(bytes) = serde_json::to_vec(&Failure::from(error))
        {
            // When nobody hears it, nobody is there.
            let _ = std::fs::File::from(report).write_all(&bytes);
        }
        sys::end_at_once(125)
    }
}

impl Leader {
    /// Tells the caller the child's pid.
    pub(crate) fn introduce(&self, channel: &Channel) -> Result<()> {
        channel.send(&Message::Forked(self.pid))
    }

    /// Lets the child go on.
    pub(crate) fn go(&self) -> Result<()> {
        rustix::io::write(&self.go, b"g").doing(|| "let the process go on").map(drop)
    }

    /// Waits until the child is the program, or has told why not.
    pub(crate) fn outcome(self) -> Result<()> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MESSAGE_LIMIT).unwrap_or(u64::MAX);
        std::fs::File::from(self.report)
            .take(limit)
            .read_to_end(&mut bytes)
            .doing(|| "wait for the start of the program")?;
        if bytes.is_empty() {
            return Ok(());
        }
        // The child's word, which a container that traces it may have changed: it is text for the caller.
        let failure: Failure = serde_json::from_slice(&bytes)
            .map_err(std::io::Error::from)
            .doing(|| "read why the program did not start")?;
        Err(Error::from(failure))
    }
}
