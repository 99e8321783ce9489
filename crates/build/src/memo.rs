//! Digests of files, remembered by what stat says of them: a build that changes nothing reads no content.
//!
//! A file is remembered only when its last change is older than the build by a margin, as clocks of file
//! systems are coarse: what changes twice within a tick looks the same. One that no build looked at for long is
//! forgotten.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::{Result, failed};
use crate::source::Identity;

/// How much older than the build a change must be.
const MARGIN: Duration = Duration::from_secs(2);
/// Bytes of one remembered file.
const RECORD: usize = 8 * 8 + 32 + 4;
/// How many days a file is remembered that no build looks at.
const MAX_DAYS: u32 = 30;
/// How many days old the note may be that a file was looked at: a build that learns nothing else writes nothing.
const DAYS_BETWEEN: u32 = 7;
/// Seconds of a day.
const DAY: u64 = 86_400;
/// Most files that are remembered.
const MAX_FILES: usize = 2_000_000;
/// What the file begins with.
const MAGIC: &[u8; 16] = b"corten-files-2\n\0";

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Memo {
    path: PathBuf,
    before: i64,
    /// Days after 1970.
    today: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Identity, Known>,
    fresh: bool,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Known {
    digest: [u8; 32],
    /// The day on which a build looked at it last.
    seen: u32,
}

impl Memo {
    /// Reads what earlier builds remembered; what cannot be read is nothing.
    pub(crate) fn open(path: PathBuf, now: SystemTime) -> Self {
        let known = read(&path).unwrap_or_default();
        let before = now.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = i64::try_from(before.as_secs()).unwrap_or_default();
        let days = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY;
        let today = u32::try_from(days).unwrap_or(u32::MAX);
        Self { path, before, today, state: Mutex::new(State { known, fresh: false }) }
    }

    /// The digest of a file's content, which `open` opens where it is not known.
    pub(crate) fn digest(
        &self,
        identity: &Identity,
        open: impl FnOnce() -> Result<File>,
    ) -> Result<[u8; 32]> {
        if let Some(known) = self.known(identity) {
            return Ok(known);
        }
        let mut hasher = blake3::Hasher::new();
        let mut file = open()?;
        let mut buffer = vec![0_u8; 128 * 1024];
        loop {
            let taken =
                file.read(&mut buffer).map_err(failed("a file of the context", "reading"))?;
            if taken == 0 {
                break;
            }
            hasher.update(buffer.get(..taken).unwrap_or_default());
        }
        let digest = *hasher.finalize().as_bytes();
        if identity.ctime.0 < self.before && identity.mtime.0 < self.before {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.known.insert(*identity, Known { digest, seen: self.today });
            state.fresh = true;
        }
        Ok(digest)
    }

    fn known(&self, identity: &Identity) -> Option<[u8; 32]> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.known.get_mut(identity)?;
        let (digest, age) = (known.digest, self.today.saturating_sub(known.seen));
        known.seen = self.today;
        state.fresh |= age >= DAYS_BETWEEN;
        Some(digest)
    }

    /// Keeps what was learnt. What is lost is only read again.
    pub(crate) fn keep(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.fresh {
            return Ok(());
        }
        let oldest = self.today.saturating_sub(MAX_DAYS);
        state.known.retain(|_, known| known.seen >= oldest);
        if state.known.len() > MAX_FILES {
            let today = self.today;
            state.known.retain(|_, known| known.seen == today);
        }
        if state.known.len() > MAX_FILES {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(MAGIC.len() + state.known.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for (identity, Known { digest, seen }) in &state.known {
            let Identity { device, inode, size, mtime, ctime, links } = identity;
            for number in [*device, *inode, *size, *links] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [mtime.0, mtime.1, ctime.0, ctime.1] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(digest);
            bytes.extend_from_slice(&seen.to_le_bytes());
        }
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let shown = self.path.display();
        let mut file =
            tempfile::NamedTempFile::new_in(parent).map_err(failed(&shown, "creation"))?;
        let sum = blake3::hash(&bytes);
        file.write_all(&bytes).map_err(failed(&shown, "writing"))?;
        file.write_all(sum.as_bytes()).map_err(failed(&shown, "writing"))?;
        file.persist(&self.path).map_err(|error| failed(&shown, "writing")(error.error))?;
        Ok(())
    }
}

/// How many files a memo remembers, by its size in bytes.
pub(crate) fn count(size: u64) -> u64 {
    size.saturating_sub(MAGIC.len() as u64 + 32) / RECORD as u64
}

fn read(path: &Path) -> Option<HashMap<Identity, Known>> {
    let limit = (MAGIC.len() + MAX_FILES * RECORD + 32) as u64;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    let (bytes, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if blake3::hash(bytes).as_bytes() != sum {
        return None;
    }
    let records = bytes.strip_prefix(MAGIC)?.chunks_exact(RECORD);
    let number = |record: &[u8], at: usize| -> Option<[u8; 8]> {
        record.get(at * 8..at * 8 + 8)?.try_into().ok()
    };
    let known = records.filter_map(|record| {
        let unsigned = |at| number(record, at).map(u64::from_le_bytes);
        let signed = |at| number(record, at).map(i64::from_le_bytes);
        let identity = Identity {
            device: unsigned(0)?,
            inode: unsigned(1)?,
            size: unsigned(2)?,
            links: unsigned(3)?,
            mtime: (signed(4)?, signed(5)?),
            ctime: (signed(6)?, signed(7)?),
        };
        let digest = record.get(64..96)?.try_into().ok()?;
        let seen = u32::from_le_bytes(record.get(96..100)?.try_into().ok()?);
        Some((identity, Known { digest, seen }))
    });
    Some(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64) -> Identity {
        Identity { device: 1, inode, size: 1, mtime: (1, 0), ctime: (1, 0), links: 1 }
    }

    /// Builds on a day that look at some files; gives how many of them had to be read.
    fn build(path: &Path, day: u64, files: &[u64]) -> usize {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY);
        let memo = Memo::open(path.to_owned(), now);
        let mut read = 0;
        for file in files {
            let open = || {
                read += 1;
                Ok(File::open("/dev/null").unwrap())
            };
            memo.digest(&identity(*file), open).unwrap();
        }
        memo.keep().unwrap();
        read
    }

    #[test]
    fn a_file_that_no_build_looks_at_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("files");
        assert_eq!(build(&path, 20_000, &[1, 2]), 2);
        let written = path.metadata().unwrap().modified().unwrap();
        assert_eq!(build(&path, 20_003, &[1, 2]), 0);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), written, "nothing was learnt");
        assert_eq!(build(&path, 20_020, &[1]), 0);
        assert_eq!(count(path.metadata().unwrap().len()), 2);
        assert_eq!(build(&path, 20_040, &[1, 3]), 1);
        assert_eq!(count(path.metadata().unwrap().len()), 2, "1 and 3 are left");
        assert_eq!(build(&path, 20_041, &[2]), 1);
    }
}
