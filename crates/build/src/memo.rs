//! Digests of files, remembered by what stat says of them: a build that changes nothing reads no content.
//!
//! A file is remembered only when its last change is older than the build by a margin, as clocks of file
//! systems are coarse: what changes twice within a tick looks the same.

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
const RECORD: usize = 8 * 8 + 32;
/// Most files that are remembered.
const MAX_FILES: usize = 2_000_000;
/// What the file begins with.
const MAGIC: &[u8; 16] = b"corten-files-1\n\0";

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Memo {
    path: PathBuf,
    before: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Identity, [u8; 32]>,
    fresh: bool,
}

impl Memo {
    /// Reads what earlier builds remembered; what cannot be read is nothing.
    pub(crate) fn open(path: PathBuf, now: SystemTime) -> Self {
        let known = read(&path).unwrap_or_default();
        let before = now.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = i64::try_from(before.as_secs()).unwrap_or_default();
        Self { path, before, state: Mutex::new(State { known, fresh: false }) }
    }

    /// The digest of a file's content, which `open` opens where it is not known.
    pub(crate) fn digest(
        &self,
        identity: &Identity,
        open: impl FnOnce() -> Result<File>,
    ) -> Result<[u8; 32]> {
        let known =
            self.state.lock().unwrap_or_else(PoisonError::into_inner).known.get(identity).copied();
        if let Some(known) = known {
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
            state.known.insert(*identity, digest);
            state.fresh = true;
        }
        Ok(digest)
    }

    /// Keeps what was learnt. What is lost is only read again.
    pub(crate) fn keep(&self) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.fresh || state.known.len() > MAX_FILES {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(MAGIC.len() + state.known.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for (identity, digest) in &state.known {
            let Identity { device, inode, size, mtime, ctime, links } = identity;
            for number in [*device, *inode, *size, *links] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [mtime.0, mtime.1, ctime.0, ctime.1] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(digest);
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

fn read(path: &Path) -> Option<HashMap<Identity, [u8; 32]>> {
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
        Some((identity, record.get(64..96)?.try_into().ok()?))
    });
    Some(known.collect())
}
