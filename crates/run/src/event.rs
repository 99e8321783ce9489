//! What happened to containers: one JSON object per line in `events`, the older half in `events.1`.

use crate::error::{Doing, Result, RunError};
use crate::place::open_lock;
use crate::watch::{LONGEST, Watch};
use crate::{ContainerId, Containers, Timestamp};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// A file of events is ended at this size; two are kept.
pub const MAX_EVENTS: u64 = 1 << 20;
/// The longest line that is read.
const MAX_LINE: u64 = 16 << 10;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeEvent {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub id: ContainerId,
    /// What: `create`, `start`, `die`, `stop`, `kill`, `pause`, `resume`, `rename`, `health`, `exec`, `remove`;
    /// of a pod `pod-create`, `pod-start`, `pod-stop`, `pod-remove`.
    pub what: String,
    /// The exit code of `die`.
    pub code: Option<i32>,
}

/// Whether to go on at the end of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Wait for more.
    Yes,
    /// Be done.
    No,
}

/// Notes an event; one that cannot be written is lost, as no verb fails for it.
pub(crate) fn note(containers: &Containers, id: &ContainerId, what: &str, code: Option<i32>) {
    let event = LifeEvent { at: (containers.clock)(), id: id.clone(), what: what.to_owned(), code };
    let _ = append(containers, &event);
}

fn append(containers: &Containers, event: &LifeEvent) -> Result<()> {
    let path = containers.root.join("events");
    let noting = || format!("write {}", path.display());
    let mut line = serde_json::to_vec(event)
        .map_err(|source| RunError::Damaged { path: path.clone(), source })?;
    line.push(b'\n');
    let lock = open_lock(&containers.root.join("events.lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).doing(noting)?;
    if fs::metadata(&path).is_ok_and(|file| file.len() >= MAX_EVENTS) {
        fs::rename(&path, containers.root.join("events.1")).doing(noting)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&line)).doing(noting)
}

/// Gives the events since a moment to `take`, oldest first, until it says `false`.
pub fn events(
    containers: &Containers,
    follow: Follow,
    since: Timestamp,
    take: &mut dyn FnMut(LifeEvent) -> bool,
) -> Result<()> {
    let watch = Watch::new(&containers.root)?;
    if !drain(open(containers.root.join("events.1"))?.as_mut(), since, take)? {
        return Ok(());
    }
    let path = containers.root.join("events");
    let mut reader = open(path.clone())?;
    loop {
        // The look comes first: what is written to a file before its end is read from it.
        let here = fs::metadata(&path).map(|file| file.ino()).ok();
        let held = reader.as_ref().and_then(|reader| Some(reader.get_ref().metadata().ok()?.ino()));
        if !drain(reader.as_mut(), since, take)? {
            return Ok(());
        }
        if here != held {
            reader = open(path.clone())?;
            continue;
        }
        if follow == Follow::No {
            return Ok(());
        }
        watch.wait(LONGEST)?;
    }
}

fn open(path: PathBuf) -> Result<Option<BufReader<File>>> {
    match File::open(&path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("open {}", path.display())),
    }
}

fn drain(
    reader: Option<&mut BufReader<File>>,
    since: Timestamp,
    take: &mut dyn FnMut(LifeEvent) -> bool,
) -> Result<bool> {
    let Some(reader) = reader else { return Ok(true) };
    loop {
        let mut line = Vec::new();
        let got = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if got.doing(|| "read events".to_owned())? == 0 {
            return Ok(true);
        }
        // A line that a kill cut short is no event.
        if let Ok(event) = serde_json::from_slice::<LifeEvent>(&line)
            && event.at >= since
            && !take(event)
        {
            return Ok(false);
        }
    }
}

/// How a container last ended, from the events.
pub(crate) fn last_end(
    containers: &Containers,
    id: &ContainerId,
) -> Result<Option<crate::ExitStatus>> {
    let mut code = None;
    events(containers, Follow::No, Timestamp(0), &mut |event| {
        if event.id == *id && event.what == "die" {
            code = event.code;
        }
        true
    })?;
    Ok(code.map(crate::ExitStatus::Code))
}
