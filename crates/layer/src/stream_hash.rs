//! Hashing beside the stream: short streams on the spot, long ones on a thread of their own.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use corten_spec::{Algorithm, Digest, Hasher};

/// Bytes hashed on the spot before a thread is started.
const ON_THE_SPOT: u64 = 1 << 20;

/// Bytes handed over at once, and how many such buffers wait at the most.
const BUFFER: usize = 256 * 1024;
const WAITING: usize = 8;

/// The digest and the length of a stream.
pub(crate) struct StreamHash {
    algorithm: Algorithm,
    place: EntryPosition,
    length: u64,
}

enum EntryPosition {
    Here(Hasher),
    There(Thread),
    /// The thread was lost; only a panic of the hash function could do that.
    Lost,
}

struct Thread {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    filling: Vec<u8>,
    handle: JoinHandle<Hasher>,
}

impl StreamHash {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, place: EntryPosition::Here(Hasher::new(algorithm)), length: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        if self.length > ON_THE_SPOT {
            self.move_there();
        }
        let kept = match &mut self.place {
            EntryPosition::Here(hasher) => {
                hasher.update(bytes);
                true
            }
            EntryPosition::There(thread) => thread.update(bytes),
            EntryPosition::Lost => true,
        };
        if !kept {
            self.place = EntryPosition::Lost;
        }
    }

    fn move_there(&mut self) {
        if let EntryPosition::Here(hasher) = &self.place
            && let Some(thread) = Thread::start(hasher.clone())
        {
            self.place = EntryPosition::There(thread);
        }
    }

    /// The digest and the number of bytes. A stream whose thread was lost has no digest; `None`
    /// then, so that no wrong one can leave here.
    pub(crate) fn finish(self) -> Option<(Digest, u64)> {
        let hasher = match self.place {
            EntryPosition::Here(hasher) => hasher,
            EntryPosition::There(thread) => thread.finish()?,
            EntryPosition::Lost => return None,
        };
        debug_assert_eq!(hasher.clone().finish().algorithm_name(), self.algorithm.as_str());
        Some((hasher.finish(), self.length))
    }
}

impl Thread {
    /// `None` where the machine has no thread left: hashing then stays where it is.
    fn start(mut hasher: Hasher) -> Option<Self> {
        let (full, filled) = sync_channel::<Vec<u8>>(WAITING);
        let (emptied, empty) = sync_channel(WAITING + 2);
        let work = move || {
            for mut buffer in filled {
                hasher.update(&buffer);
                buffer.clear();
                // A full channel or a finished sender means that the buffer is not needed.
                let _ = emptied.try_send(buffer);
            }
            hasher
        };
        let handle = std::thread::Builder::new().name("layer-hash".to_owned()).spawn(work).ok()?;
        Some(Self { full, empty, filling: Vec::with_capacity(BUFFER), handle })
    }

    /// False when the thread is gone.
    fn update(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let room = BUFFER.saturating_sub(self.filling.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() >= BUFFER && !self.hand_over() {
                return false;
            }
        }
        true
    }

    fn hand_over(&mut self) -> bool {
        let next = match self.empty.try_recv() {
            Ok(buffer) => buffer,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Vec::with_capacity(BUFFER),
        };
        self.full.send(std::mem::replace(&mut self.filling, next)).is_ok()
    }

    fn finish(self) -> Option<Hasher> {
        let Self { full, filling, handle, .. } = self;
        full.send(filling).ok()?;
        drop(full);
        handle.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_same_here_and_there() {
        for length in [0, 1, 1 << 20, (1 << 20) + 1, 5_000_001] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut hash = StreamHash::new(Algorithm::Sha256);
            bytes.chunks(77_777).for_each(|chunk| hash.update(chunk));
            assert_eq!(hash.finish(), Some((Digest::sha256(&bytes), length as u64)));
        }
    }
}
