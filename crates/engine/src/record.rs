//! The directory of a container's state.
//!
//! ```text
//! ROOT/ID/            mode 0700; locked (flock) while an operation changes the container
//!   state.json        the OCI state and what else is needed, replaced by rename
//!   config.json       the configuration as it was at creation
//!   groups.json       the control groups, when there are any
//!   start.sock        until the start: where the first process waits
//! ```

use crate::enter;
use crate::error::{Doing, Error, Result};
use crate::groups::{Group, Kept};
use crate::words::{self, Strict};
use oci_spec::runtime::{ContainerState, Process, Spec, State};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The most characters of an id.
const ID_LIMIT: usize = 255;
/// The most bytes of a configuration.
pub(crate) const CONFIG_LIMIT: u64 = 8 << 20;
const STATE_FILE: &str = "state.json";
/// The configuration's name, in the bundle and in the state directory.
pub(crate) const CONFIG_FILE: &str = "config.json";
const GROUPS_FILE: &str = "groups.json";
/// The socket's name in the state directory.
pub(crate) const START_SOCKET: &str = "start.sock";

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The state as the specification has it; its status is the last one written.
    #[serde(flatten)]
    pub(crate) state: State,
    /// When the first process started, in clock ticks since boot.
    #[serde(rename = "pidStart", default)]
    pub(crate) start_time: u64,
}

/// An opened state directory of one container.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    directory: File,
}

/// Whether others are kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// For a look.
    Look,
    /// For a change: one at a time.
    Change,
}

/// Says whether `id` may be the name of a container.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let fine = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > ID_LIMIT || !id.chars().all(fine) || id.starts_with('.') {
        return Err(Error::Id { id: id.to_owned() });
    }
    Ok(())
}

impl Room {
    /// Makes the directory of a new container and locks it.
    pub(crate) fn make(root: &Path, id: &str) -> Result<Room> {
        check_id(id)?;
        let private = || {
            let mut builder = std::fs::DirBuilder::new();
            builder.mode(0o700);
            builder
        };
        private().recursive(true).create(root).doing(|| format!("make {}", root.display()))?;
        let path = root.join(id);
        match private().create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists { id: id.to_owned() });
            }
            other => other.doing(|| format!("make {}", path.display()))?,
        }
        Room::open(root, id, Access::Change)
    }

    /// Opens the directory of a container.
    pub(crate) fn open(root: &Path, id: &str, access: Access) -> Result<Room> {
        check_id(id)?;
        let path = root.join(id);
        let missing = || Error::Missing { id: id.to_owned() };
        let directory = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            other => other.doing(|| format!("open {}", path.display()))?,
        };
        if access == Access::Change {
            rustix::fs::flock(&directory, FlockOperation::LockExclusive)
                .doing(|| format!("lock {}", path.display()))?;
            // It may have been deleted while this waited.
            if !path.exists() {
                return Err(missing());
            }
        }
        Ok(Room { id: id.to_owned(), path, directory })
    }

    /// A short name of a file in the directory: socket addresses hold 107 bytes.
    pub(crate) fn short_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd()))
    }

    /// A number that no other container of this machine has.
    pub(crate) fn number(&self) -> Result<u64> {
        let found = rustix::fs::fstat(&self.directory)
            .doing(|| format!("ask what {} is", self.path.display()))?;
        Ok(found.st_dev.rotate_left(40) ^ found.st_ino)
    }

    /// Replaces a file at once.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let new = format!(".{name}.new");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let written = rustix::fs::openat(&self.directory, &new, flags, Mode::RUSR | Mode::WUSR)
            .map_err(std::io::Error::from)
            .and_then(|file| File::from(file).write_all(bytes));
        written.doing(|| format!("write {name} of container {}", self.id))?;
        self.put(&new, name).doing(|| format!("publish {name} of container {}", self.id))
    }

    /// Puts a file in the place of another, at once. The two are exchanged: some file systems write the new one
    /// out to the disk when it replaces the old one, and a start shall not wait for that.
    fn put(&self, new: &str, name: &str) -> rustix::io::Result<()> {
        let room = &self.directory;
        match rustix::fs::renameat_with(room, new, room, name, RenameFlags::EXCHANGE) {
            Ok(()) => rustix::fs::unlinkat(room, new, AtFlags::empty()),
            // There is none yet, or the file system cannot.
            Err(_) => rustix::fs::renameat(room, new, room, name),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty());
        let mut bytes = Vec::new();
        file.map_err(std::io::Error::from)
            .and_then(|file| File::from(file).take(CONFIG_LIMIT).read_to_end(&mut bytes))
            .doing(|| format!("read {name} of container {}", self.id))?;
        Ok(bytes)
    }

    /// Writes the record.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let bytes =
            serde_json::to_vec(record).map_err(std::io::Error::from).doing(|| "write the state")?;
        self.write(STATE_FILE, &bytes)
    }

    /// Reads the record, its status as it is now.
    pub(crate) fn load(&self) -> Result<Record> {
        let bytes = match self.read(STATE_FILE) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let mut state = State::default();
                state.set_id(self.id.clone()).set_status(self.unfinished());
                return Ok(Record { state, start_time: 0 });
            }
            other => other?,
        };
        let mut record: Record = serde_json::from_slice(&bytes).map_err(|error| Error::Config {
            path: self.path.join(STATE_FILE),
            detail: error.to_string(),
        })?;
        if *record.state.status() == ContainerState::Creating {
            record.state.set_status(self.unfinished()).set_pid(None);
            return Ok(record);
        }
        let status = if self.hold(&record)?.is_none() {
            ContainerState::Stopped
        } else if self.path.join(START_SOCKET).exists() {
            ContainerState::Created
        } else {
            ContainerState::Running
        };
        record.state.set_status(status);
        Ok(record)
    }

    /// Whether the creation of a container goes on, or was broken off.
    fn unfinished(&self) -> ContainerState {
        let busy =
            rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive).is_err();
        if busy { ContainerState::Creating } else { ContainerState::Stopped }
    }

    /// The configuration as it was at creation.
    pub(crate) fn config(&self) -> Result<Spec> {
        // What is left out was told at creation.
        parse_config(&self.read(CONFIG_FILE)?, &self.path.join(CONFIG_FILE), |_| ())
    }

    /// Writes which control groups the container has.
    pub(crate) fn keep_groups(&self, kept: &[Kept]) -> Result<()> {
        let bytes =
            serde_json::to_vec(kept).map_err(std::io::Error::from).doing(|| "write the groups")?;
        self.write(GROUPS_FILE, &bytes)
    }

    /// The container's control groups, those that are still there; none when it never had any.
    pub(crate) fn groups(&self) -> Result<Group> {
        let bytes = match self.read(GROUPS_FILE) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Group::default());
            }
            other => other?,
        };
        let kept = serde_json::from_slice(&bytes).map_err(|error| Error::Config {
            path: self.path.join(GROUPS_FILE),
            detail: error.to_string(),
        })?;
        Ok(Group::open(kept))
    }

    /// A hold on the first process, if it lives.
    pub(crate) fn hold(&self, record: &Record) -> Result<Option<OwnedFd>> {
        match *record.state.pid() {
            Some(pid) => enter::hold(pid, record.start_time),
            None => Ok(None),
        }
    }

    /// Takes the directory away, the last of a container.
    pub(crate) fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.path).doing(|| format!("remove {}", self.path.display()))
    }
}

impl AsFd for Room {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn left_out(capability: &str) -> String {
    format!("the capability {capability} is left out: this engine does not know it")
}

/// Reads a process as `config.json` has it; `tell` is told what is left out of it.
pub fn parse_process(bytes: &[u8], tell: fn(&str)) -> serde_json::Result<Process> {
    let Strict(mut value) = serde_json::from_slice(bytes)?;
    for name in words::translate_process(&mut value) {
        tell(&left_out(&name));
    }
    serde_json::from_value(value)
}

/// Reads a configuration's bytes; `tell` is told what is left out of it.
pub(crate) fn parse_config(bytes: &[u8], path: &Path, tell: fn(&str)) -> Result<Spec> {
    let wrong = |error: serde_json::Error| Error::Config {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let Strict(mut value) = serde_json::from_slice(bytes).map_err(wrong)?;
    for name in words::translate(&mut value) {
        tell(&left_out(&name));
    }
    serde_json::from_value(value).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_name() {
        for good in ["a", "A-b_c.d+1"] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b", "é", &"a".repeat(256)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_room_is_made_once_and_knows_a_broken_creation() {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::make(scratch.path(), "one").unwrap();
        assert!(matches!(Room::make(scratch.path(), "one"), Err(Error::Exists { .. })));
        let look = Room::open(scratch.path(), "one", Access::Look).unwrap();
        assert_eq!(*look.load().unwrap().state.status(), ContainerState::Creating);
        drop((room, look));
        let look = Room::open(scratch.path(), "one", Access::Look).unwrap();
        assert_eq!(*look.load().unwrap().state.status(), ContainerState::Stopped);
        look.remove().unwrap();
        assert!(matches!(
            Room::open(scratch.path(), "one", Access::Look),
            Err(Error::Missing { .. })
        ));
    }
}
