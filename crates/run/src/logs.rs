//! Reads the log of a container, and follows it.

use crate::error::{Doing, Result};
use crate::log::{LogLine, MAX_PIECE, numbered};
use crate::watch::{LONGEST, Watch};
use crate::{ContainerId, Containers, Follow, State, Stream, Timestamp};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The longest record: a piece, and what stands before it.
const MAX_RECORD: usize = MAX_PIECE + 128;

/// Which records are wanted.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery {
    /// Whether to wait for more until the container ends.
    pub follow: Follow,
    /// Only from this moment on.
    pub since: Timestamp,
    /// Only the last so many of what is there now.
    pub tail: Option<usize>,
    /// Only this output.
    pub stream: Option<Stream>,
}

/// Gives the records of a container's log, oldest first, until `take` says `false`. A container in the
/// foreground has none: its output goes to its caller.
pub fn logs(
    containers: &Containers,
    id: &ContainerId,
    query: LogQuery,
    take: &mut dyn FnMut(LogLine) -> bool,
) -> Result<()> {
    let place = containers.place(id);
    let files = containers.container(id)?.asked.log.files;
    let path = place.file("log");
    let watch = Watch::new(&place.dir)?;
    let fits = |line: &LogLine| {
        line.at >= query.since && query.stream.is_none_or(|stream| stream == line.stream)
    };
    let mut tail = VecDeque::new();
    let mut old = |line: LogLine| match query.tail {
        _ if !fits(&line) => true,
        Some(length) => {
            tail.push_back(line);
            if tail.len() > length {
                tail.pop_front();
            }
            true
        }
        None => take(line),
    };
    for number in (1..files).rev() {
        if let Some(mut records) = Records::open(&numbered(&path, number))
            && !records.drain(&mut old)?
        {
            return Ok(());
        }
    }
    let mut current = Records::open(&path);
    if let Some(records) = &mut current
        && !records.drain(&mut old)?
    {
        return Ok(());
    }
    if !tail.into_iter().all(&mut *take) || query.follow == Follow::No {
        return Ok(());
    }
    let over = || crate::status(containers, id).map_or(true, |now| now.state == State::Exited);
    let mut new = |line: LogLine| !fits(&line) || take(line);
    follow(current, (&path, files), &over, (&watch, &mut new))
}

/// Gives what comes, until the container is over and all of it is read.
fn follow(
    mut current: Option<Records>,
    (path, files): (&Path, u32),
    over: &dyn Fn() -> bool,
    (watch, take): (&Watch, &mut dyn FnMut(LogLine) -> bool),
) -> Result<()> {
    loop {
        // The looks at the state and at the names come first, so that what is written before either is
        // read after it.
        let over = over();
        let next = match &current {
            Some(current) => current.next(path, files),
            None => Records::open(path),
        };
        if let Some(current) = &mut current
            && !current.drain(take)?
        {
            return Ok(());
        }
        match next {
            Some(next) => current = Some(next),
            None if over => return Ok(()),
            None => watch.wait(LONGEST)?,
        }
    }
}

struct Records {
    reader: BufReader<File>,
    partial: Vec<u8>,
}

impl Records {
    fn open(path: &Path) -> Option<Self> {
        Some(Self { reader: BufReader::new(File::open(path).ok()?), partial: Vec::new() })
    }

    /// The file that was begun when this one was full, once it was; the oldest of all when this one has
    /// been removed meanwhile.
    fn next(&self, path: &Path, files: u32) -> Option<Self> {
        let held = self.reader.get_ref().metadata().map(|file| file.ino()).ok()?;
        let is = |number: &u32| {
            fs::metadata(numbered(path, *number)).is_ok_and(|here| here.ino() == held)
        };
        match (0..files).find(is) {
            Some(0) => None,
            Some(number) => Self::open(&numbered(path, number - 1)),
            None => (0..files).rev().find_map(|number| Self::open(&numbered(path, number))),
        }
    }

    /// Reads what there is; a record that is not whole yet waits for the next time.
    fn drain(&mut self, take: &mut dyn FnMut(LogLine) -> bool) -> Result<bool> {
        loop {
            let left = u64::try_from(MAX_RECORD.saturating_sub(self.partial.len())).unwrap_or(0);
            let got = self.reader.by_ref().take(left).read_until(b'\n', &mut self.partial);
            if got.doing(|| "read the log".to_owned())? == 0 && left > 0 {
                return Ok(true);
            }
            if self.partial.last() == Some(&b'\n') {
                self.partial.pop();
                let line = LogLine::parse(&self.partial);
                self.partial.clear();
                // Bytes that are no record, as a kill or another hand leaves, are passed over.
                if line.is_some_and(|line| !take(line)) {
                    return Ok(false);
                }
            } else if self.partial.len() >= MAX_RECORD {
                self.partial.clear();
            }
        }
    }
}
