//! How a process gets into a container's groups by itself.

use super::{Group, Member, Version};
use crate::error::Result;
use crate::order::Entrance;
use crate::spawn;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Descriptors by which a process gets into the groups.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    unified: Option<OwnedFd>,
    threads: Vec<OwnedFd>,
    /// Whether there is a group that has no door.
    closed: bool,
}

impl Doors {
    /// None: the caller puts the process where it belongs.
    pub(crate) fn shut() -> Doors {
        Doors { closed: true, ..Doors::default() }
    }

    /// Their numbers, for an order.
    pub(crate) fn entrance(&self) -> Entrance {
        let unified = self.unified.as_ref().map(AsRawFd::as_raw_fd);
        let threads = self.threads.iter().map(AsRawFd::as_raw_fd).collect();
        Entrance { unified, threads, closed: self.closed }
    }

    /// All of their numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.unified.iter().chain(&self.threads).map(AsRawFd::as_raw_fd)
    }
}

impl Group {
    /// The descriptors by which a process gets in: the directory of version 2, files of version 1. A process
    /// of a user namespace cannot be born in a group of the machine's.
    pub(crate) fn doors(&self, above: RawFd, in_user_namespace: bool) -> Result<Doors> {
        let mut doors = Doors { closed: self.awaited, ..Doors::default() };
        for member in &self.members {
            let opened = match member.version {
                Version::Two if in_user_namespace || !member.bears() => {
                    doors.closed = true;
                    continue;
                }
                Version::Two => member.directory.as_fd().try_clone_to_owned(),
                Version::One => member.directory.writable("tasks"),
            };
            let opened = opened.map_err(|error| member.fault("tasks", error))?;
            let opened = spawn::lift(opened, above)?;
            match member.version {
                Version::Two => doors.unified = Some(opened),
                Version::One => doors.threads.push(opened),
            }
        }
        Ok(doors)
    }
}

impl Member {
    /// Whether a process is sure to be born in this group of version 2. Sure, since a birth that the kernel
    /// breaks off is the end of a new pid namespace: then no process can be its first any more.
    fn bears(&self) -> bool {
        let is = |file: &str, word: &str| {
            self.directory.read(file).is_ok_and(|text| text.trim() == word)
        };
        // Who may write what nobody may write may write all groups in between, too.
        is("cgroup.type", "domain")
            && is("cgroup.subtree_control", "")
            && self.directory.may_write("cgroup.events")
    }
}
