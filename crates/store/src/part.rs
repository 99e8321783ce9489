//! A blob being staged in a file, held by a lock so that no two processes write the same file.

use std::fs::File;
use std::io::{IoSlice, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{Advice, FlockOperation};
use rustix::io::Errno;

use crate::StoreError;
use crate::beneath::{Beneath, io_error, touch};
use crate::intake::Sink;
use crate::region::CHUNK;

/// How often, and how far apart, the lock of a staged file is tried before another file is taken:
/// long enough for an ingest of this process that was just dropped to let go.
const LOCK_TRIES: usize = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Bytes after which the kernel is asked to begin writing them to the disk.
const STRIDE: u64 = 16 * 1024 * 1024;
/// How many writers may stage the same blob at the same time.
const MAX_SLOTS: usize = 16;

/// Where a blob is staged and where it goes, both below one root.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) root: Arc<Beneath>,
    /// The staged file; more writers add `.1`, `.2` ….
    pub(crate) staged: String,
    /// The published file; its directory exists.
    pub(crate) target: String,
    /// Size in bytes of the whole blob.
    pub(crate) size: u64,
}

/// A staged file that this process alone writes.
pub(crate) struct Part {
    place: Place,
    path: String,
    file: File,
    len: u64,
    /// Bytes that the kernel was asked to begin writing to the disk.
    begun: u64,
    published: bool,
}

impl Place {
    /// Whether the blob is there in its full size; if so it counts as just written.
    pub(crate) fn is_present(&self) -> Result<bool, StoreError> {
        let Some(file) = self.root.read(&self.target)? else {
            return Ok(false);
        };
        let full = self.root.full(&self.target);
        let meta = file.metadata().map_err(|e| io_error(&full, "stat", e))?;
        if meta.len() != self.size {
            return Ok(false);
        }
        // A file of another user may refuse; then its age cannot be helped.
        let _ = touch(&file);
        Ok(true)
    }

    /// Opens a staged file and locks it; `None` when the blob was published meanwhile.
    pub(crate) fn open(self) -> Result<Option<Part>, StoreError> {
        for slot in 0..MAX_SLOTS {
            let path = match slot {
                0 => self.staged.clone(),
                _ => format!("{}.{slot}", self.staged),
            };
            let tries = if slot == 0 { LOCK_TRIES } else { 1 };
            let Some(file) = self.lock(&path, tries)? else {
                continue;
            };
            let full = self.root.full(&path);
            let len = file.metadata().map_err(|e| io_error(&full, "stat", e))?.len();
            let part = Part { place: self, path, file, len, begun: len, published: false };
            if part.place.is_present()? {
                part.place.root.remove(&part.path)?;
                return Ok(None);
            }
            return Ok(Some(part));
        }
        Err(StoreError::Refused {
            object: self.target,
            place: self.root.path().display().to_string(),
            source: format!("{MAX_SLOTS} others are writing it").into(),
        })
    }

    fn lock(&self, path: &str, tries: usize) -> Result<Option<File>, StoreError> {
        let mut left = tries;
        loop {
            let file = self.root.open_or_create(path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Between opening and locking it may have been renamed into place, or swept.
                Ok(()) if self.root.is_same(path, &file)? => return Ok(Some(file)),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        return Ok(None);
                    }
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(errno) => return Err(io_error(&self.root.full(path), "lock", errno.into())),
            }
        }
    }
}

impl Part {
    /// Lets the disk begin while the rest is still arriving, so that the sync at the end finds
    /// little left to wait for. Of pages not yet written, this advice drops none.
    fn begin_writing(&mut self) {
        if self.len.saturating_sub(self.begun) < STRIDE {
            return;
        }
        let length = NonZeroU64::new(self.len - self.begun);
        // Only a hint: without it the sync takes longer.
        let _ = rustix::fs::fadvise(&self.file, self.begun, length, Advice::DontNeed);
        self.begun = self.len;
    }

    fn fault(&self, action: &'static str) -> impl Fn(std::io::Error) -> StoreError {
        let path = self.place.root.full(&self.path);
        move |source| io_error(&path, action, source)
    }
}

impl Sink for Part {
    fn replay(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.len = self.file.metadata().map_err(self.fault("stat"))?.len();
        let mut buffer = vec![0; if self.len == 0 { 0 } else { CHUNK }];
        let mut at = 0;
        while at < self.len {
            let count = self.file.read_at(&mut buffer, at).map_err(self.fault("read"))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            take(bytes)?;
            at += count as u64;
        }
        (self.len, self.begun) = (at, at);
        self.file.seek(SeekFrom::Start(at)).map_err(self.fault("seek"))?;
        Ok(())
    }

    fn write(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match self.file.write_vectored(rest) {
                Ok(0) => return Err(self.fault("write")(std::io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.len += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault("write")(error)),
            }
        }
        self.begin_writing();
        Ok(())
    }

    fn discard(&mut self) -> Result<(), StoreError> {
        (self.len, self.begun) = (0, 0);
        self.file.set_len(0).map_err(self.fault("truncation"))?;
        self.file.seek(SeekFrom::Start(0)).map_err(self.fault("seek"))?;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        self.place.root.close(&self.file).map_err(self.fault("change of mode"))?;
        touch(&self.file).map_err(self.fault("change of times"))?;
        self.file.sync_data().map_err(self.fault("sync"))?;
        self.place.root.rename(&self.path, &self.place.target)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published && self.len == 0 {
            // An empty leftover helps nobody; failing to remove it harms nobody.
            let _ = self.place.root.remove(&self.path);
        }
    }
}
