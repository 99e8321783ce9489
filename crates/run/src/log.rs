//! The log of a container: one line per line of output, as Kubernetes' runtimes write it.
//!
//! ```text
//! 2026-01-02T03:04:05.000000000Z stdout F a whole line
//! 2026-01-02T03:04:05.000000001Z stderr P the begin of a line that is longer than the buffer or not ended yet
//! ```
//!
//! `log` is the current file; a full one becomes `log.1`, that one `log.2`, and so on.

use crate::error::{Doing, Result};
use crate::{Clock, LogLimits, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The longest piece of a line in one record.
pub(crate) const MAX_PIECE: usize = 16 << 10;

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and all that a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the container.
    pub at: Timestamp,
    /// Which output it came from.
    pub stream: Stream,
    /// Its bytes, with the line's end where the line ends here.
    pub bytes: Vec<u8>,
}

impl LogLine {
    /// Reads one record, without the newline that ends it.
    pub(crate) fn parse(record: &[u8]) -> Option<Self> {
        let mut parts = record.splitn(4, |byte| *byte == b' ');
        let at = Timestamp::parse(std::str::from_utf8(parts.next()?).ok()?)?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let whole = match parts.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let mut bytes = parts.next()?.to_vec();
        if whole {
            bytes.push(b'\n');
        }
        Some(Self { at, stream, bytes })
    }
}

/// Writes the log, within its limits.
#[derive(Debug)]
pub(crate) struct LogWriter {
    path: PathBuf,
    file: File,
    length: u64,
    limits: LogLimits,
    clock: Clock,
}

impl LogWriter {
    pub(crate) fn open(path: &Path, limits: LogLimits, clock: Clock) -> Result<Self> {
        let file = append(path)?;
        let length = file.metadata().doing(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path: path.to_owned(), file, length, limits, clock })
    }

    /// Writes what one read gave. An unfinished line is written as a part, at once.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        let now = (self.clock)();
        let mut records = Vec::with_capacity(bytes.len() + 128);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            let mut pieces = line.chunks(MAX_PIECE).peekable();
            if pieces.peek().is_none() {
                self.add(&mut records, &record(now, stream, (b"", ended)))?;
            }
            while let Some(piece) = pieces.next() {
                let ended = ended && pieces.peek().is_none();
                self.add(&mut records, &record(now, stream, (piece, ended)))?;
            }
        }
        self.put(&mut records)
    }

    /// Adds a record to those that are not written yet; a full file is ended before it.
    fn add(&mut self, records: &mut Vec<u8>, record: &[u8]) -> Result<()> {
        let bytes = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let before = self.length.saturating_add(bytes(records));
        if before > 0 && before.saturating_add(bytes(record)) > self.limits.file_bytes {
            self.put(records)?;
            self.rotate()?;
        }
        records.extend_from_slice(record);
        Ok(())
    }

    fn put(&mut self, records: &mut Vec<u8>) -> Result<()> {
        self.file.write_all(records).doing(|| format!("write {}", self.path.display()))?;
        self.length = self.length.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
        records.clear();
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let rotating = || format!("rotate {}", self.path.display());
        let last = self.limits.files.max(1) - 1;
        for number in (0..last).rev() {
            let (from, to) = (numbered(&self.path, number), numbered(&self.path, number + 1));
            crate::place::absent_is_fine(fs::rename(from, to)).doing(rotating)?;
        }
        if last == 0 {
            fs::remove_file(&self.path).doing(rotating)?;
        }
        self.file = append(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

fn append(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.doing(|| format!("open {}", path.display()))
}

fn record(now: Timestamp, stream: Stream, (piece, ended): (&[u8], bool)) -> Vec<u8> {
    let end = if ended { 'F' } else { 'P' };
    let mut record = format!("{now} {} {end} ", stream.word()).into_bytes();
    record.extend_from_slice(piece);
    record.push(b'\n');
    record
}

/// The name of a file of the log: 0 is the current one.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp(1_700_000_000_000_000_000)
    }

    #[test]
    fn output_comes_back_byte_for_byte_and_within_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let limits = LogLimits { file_bytes: 300, files: 2 };
        let mut log = LogWriter::open(&path, limits, now).unwrap();
        log.write(Stream::Stdout, b"one\n\ntwo").unwrap();
        let records = fs::read(&path).unwrap();
        let lines: Vec<_> = records.split(|b| *b == b'\n').filter_map(LogLine::parse).collect();
        let whole: Vec<u8> = lines.into_iter().flat_map(|line| line.bytes).collect();
        assert_eq!(whole, b"one\n\ntwo");
        for _ in 0..40 {
            log.write(Stream::Stderr, b"more\n").unwrap();
        }
        log.write(Stream::Stdout, &b"much at once\n".repeat(50)).unwrap();
        for number in 0..2 {
            assert!(fs::metadata(numbered(&path, number)).unwrap().len() <= 300);
        }
        assert!(numbered(&path, 1).exists() && !numbered(&path, 2).exists());
    }
}
