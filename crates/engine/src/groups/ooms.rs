//! Whether the kernel ended a process of a group because its memory ran out.

use super::Group;
use super::directory::Directory;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The most bytes of a file of events.
const EVENTS: usize = 4096;

/// Looks out for the end of processes for lack of memory. The group may be gone before its end is asked for: of a scope,
/// systemd takes it away.
#[derive(Debug)]
pub struct OomWatch {
    file: OwnedFd,
    /// Whether somebody else takes the group away when it is empty.
    vanishes: bool,
}

impl Group {
    /// What looks out for it; `None` where nothing counts it.
    pub(crate) fn oom_watch(&self) -> Option<OomWatch> {
        let member = self.member("memory")?;
        let file = ["memory.events", "memory.oom_control"];
        let open = |name: &&str| open(&member.directory, name);
        let vanishes = member.unit.is_some();
        file.iter().find_map(open).map(|file| OomWatch { file, vanishes })
    }
}

fn open(directory: &Directory, name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty()).ok()
}

impl OomWatch {
    /// Waits until `end` is closed or has something to read, and tells whether a process was ended meanwhile.
    pub fn has_killed_until(&self, end: BorrowedFd<'_>) -> bool {
        let mut is_there = true;
        loop {
            // Version 2 wakes at every event; version 1 at none, and keeps its group.
            if self.has_killed() {
                return true;
            }
            let events = if is_there { PollFlags::PRI } else { PollFlags::empty() };
            let mut both =
                [PollFd::from_borrowed_fd(end, PollFlags::IN), PollFd::new(&self.file, events)];
            // Without the group no event comes, and its file is always ready: the end alone is waited for.
            let waited = if is_there { &mut both[..] } else { &mut both[..1] };
            match poll(waited, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
            if !both[0].revents().is_empty() {
                return self.has_killed();
            }
            is_there = self.read().is_some();
        }
    }

    /// Whether it must be looked out while the container runs: of a group that stays until the container is deleted,
    /// its end is early enough.
    pub fn vanishes(&self) -> bool {
        self.vanishes
    }

    /// Whether a process was ended so far.
    pub fn has_killed(&self) -> bool {
        self.read().is_some_and(|text| kills(&text) > 0)
    }

    fn read(&self) -> Option<String> {
        let mut bytes = [0; EVENTS];
        let got = rustix::io::pread(&self.file, &mut bytes, 0).ok()?;
        Some(String::from_utf8_lossy(bytes.get(..got)?).into_owned())
    }
}

/// How many processes were ended, by `memory.events` or `memory.oom_control`.
fn kills(text: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix("oom_kill "))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_for_lack_of_memory_are_counted_in_both_versions() {
        assert_eq!(kills("low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(kills(""), 0);
    }
}
