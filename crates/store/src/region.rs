//! Bytes of a file as a stream: read on a thread for blocking work, a little ahead of the reader,
//! into a few buffers that are used again and again.

use std::collections::VecDeque;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use crate::beneath::io_error;
use crate::{ByteStream, StoreError};

/// Bytes per read: large enough that calls cost nothing, small enough to stay in the cache of a
/// core from the read to the hash.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Chunks read before they are asked for.
const AHEAD: usize = 2;
/// Chunks whose memory is kept for the next reads.
const POOL: usize = AHEAD + 4;

/// A run of bytes in an open file.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) file: Arc<File>,
    /// Offset of the first byte in the file.
    pub(crate) start: u64,
    /// Number of bytes.
    pub(crate) len: u64,
    /// The file, for messages.
    pub(crate) path: PathBuf,
}

impl Region {
    /// The whole, where it is small: `limit` names what it may have.
    pub(crate) fn read_small(&self, limit: (&'static str, u64)) -> Result<Bytes, StoreError> {
        let too_large = || StoreError::TooLarge {
            object: self.path.display().to_string(),
            place: "this machine".to_owned(),
            what: limit.0,
            limit: limit.1,
        };
        if self.len > limit.1 {
            return Err(too_large());
        }
        let len = usize::try_from(self.len).map_err(|_| too_large())?;
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, self.start)
            .map_err(|e| io_error(&self.path, "read", e))?;
        Ok(Bytes::from(bytes))
    }

    /// Streams from `offset` (within the region) to its end. To be called on a thread for blocking
    /// work inside a runtime: what fits into one chunk is read at once.
    pub(crate) fn stream(self, offset: u64) -> Result<ByteStream, StoreError> {
        let rest = self.len.saturating_sub(offset);
        if rest == 0 {
            return Ok(stream::empty().boxed());
        }
        if rest <= CHUNK as u64 {
            let tail = Region { start: self.start + offset, len: rest, ..self };
            let bytes = tail.read_small(("a chunk", CHUNK as u64))?;
            return Ok(stream::once(async move { Ok(bytes) }).boxed());
        }
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || self.feed(offset, &sender));
        let next = |mut receiver: mpsc::Receiver<_>| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        };
        Ok(stream::unfold(receiver, next).fuse().boxed())
    }

    fn feed(&self, offset: u64, sender: &mpsc::Sender<Result<Bytes, StoreError>>) {
        let (mut at, end) = (self.start + offset, self.start + self.len);
        // Only a hint to the kernel; without it the read-ahead is smaller.
        let _ = rustix::fs::fadvise(
            &*self.file,
            at,
            NonZeroU64::new(end - at),
            rustix::fs::Advice::Sequential,
        );
        let mut pool: VecDeque<Bytes> = VecDeque::with_capacity(POOL);
        while at < end {
            let mut buffer = recycle(&mut pool);
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let Some(room) = buffer.get_mut(..want) else {
                return;
            };
            match read_up_to(&self.file, room, at) {
                Ok(0) => return, // cut short by someone; whoever verifies will tell
                Ok(count) => {
                    let chunk = buffer.freeze();
                    let part = chunk.slice(..count);
                    pool.push_back(chunk);
                    at += count as u64;
                    if sender.blocking_send(Ok(part)).is_err() {
                        return; // the reader went away
                    }
                }
                Err(error) => {
                    let _ = sender.blocking_send(Err(io_error(&self.path, "read", error)));
                    return;
                }
            }
        }
    }
}

/// A buffer of `CHUNK` bytes: the oldest one that nobody reads any more, or a new one.
fn recycle(pool: &mut VecDeque<Bytes>) -> BytesMut {
    if let Some(oldest) = pool.pop_front() {
        match oldest.try_into_mut() {
            Ok(buffer) if buffer.len() == CHUNK => return buffer,
            Ok(_) => {}
            Err(busy) if pool.len() < POOL => pool.push_back(busy),
            Err(_) => {}
        }
    }
    BytesMut::zeroed(CHUNK)
}

fn read_up_to(file: &File, room: &mut [u8], mut at: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
