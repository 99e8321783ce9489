//! Hashing beside the stream: short streams on the spot, long ones on a thread of their own.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use corten_spec::{Algorithm, Digest, Hasher};

/// Bytes hashed on the spot before a thread is started.
const ON_THE_SPOT: u64 = 1 << 20;

/// Bytes handed over at once, and how many such buffers wait at the most.
const BUFFER: usize = 256 * 1024;
/// The same of a stream that is short, as far as can be known.
const SMALL: usize = 16 * 1024;
const WAITING: usize = 8;

/// The digest and the length of a stream.
pub(crate) struct StreamHash {
    algorithm: Algorithm,
    place: HashPlace,
    length: u64,
    /// What comes next, up to `filled`; it is hashed when there is no room left, or at the end.
    next: Vec<u8>,
    filled: usize,
}

enum HashPlace {
    Here(Hasher),
    There(Thread),
    /// The thread was lost; only a panic of the hash function could do that.
    Lost,
}

struct Thread {
    full: SyncSender<(Vec<u8>, usize)>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<Hasher>,
}

impl StreamHash {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let place = HashPlace::Here(Hasher::new(algorithm));
        Self { algorithm, place, length: 0, next: Vec::new(), filled: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let taken = room.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
            if let Some(room) = room.get_mut(..taken) {
                room.copy_from_slice(now);
            }
            self.took(taken);
            bytes = later;
        }
    }

    /// Takes what `read` puts into the place where it is hashed from, without a copy; how much it was.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let room = self.room();
        let taken = read(room)?.min(room.len());
        self.took(taken);
        Ok(taken)
    }

    /// The last bytes that were taken: as many as [`StreamHash::fill`] told just before.
    pub(crate) fn last(&self, taken: usize) -> &[u8] {
        let from = self.filled.saturating_sub(taken);
        self.next.get(from..self.filled).unwrap_or_default()
    }

    fn took(&mut self, taken: usize) {
        self.filled += taken;
        self.length = self.length.saturating_add(taken as u64);
    }

    /// Some room, made where there is none.
    fn room(&mut self) -> &mut [u8] {
        if self.filled == self.next.len() && self.filled > 0 {
            self.hash_next();
        }
        // A stream of a few bytes takes a few.
        let wanted = if self.length < SMALL as u64 { SMALL } else { BUFFER };
        if self.filled == 0 && self.next.len() < wanted {
            self.next.resize(wanted, 0);
        }
        self.next.get_mut(self.filled..).unwrap_or_default()
    }

    fn hash_next(&mut self) {
        if self.length > ON_THE_SPOT
            && let HashPlace::Here(hasher) = &self.place
            && let Some(thread) = Thread::start(hasher.clone())
        {
            self.place = HashPlace::There(thread);
        }
        let filled = std::mem::take(&mut self.filled);
        let kept = match &mut self.place {
            HashPlace::Here(hasher) => {
                hasher.update(self.next.get(..filled).unwrap_or_default());
                true
            }
            HashPlace::There(thread) => thread.hand_over(&mut self.next, filled),
            HashPlace::Lost => true,
        };
        if !kept {
            self.place = HashPlace::Lost;
        }
    }

    /// The digest and the number of bytes. A stream whose thread was lost has no digest; `None`
    /// then, so that no wrong one can leave here.
    pub(crate) fn finish(mut self) -> Option<(Digest, u64)> {
        self.hash_next();
        let hasher = match self.place {
            HashPlace::Here(hasher) => hasher,
            HashPlace::There(thread) => thread.finish()?,
            HashPlace::Lost => return None,
        };
        debug_assert_eq!(hasher.clone().finish().algorithm_name(), self.algorithm.as_str());
        Some((hasher.finish(), self.length))
    }
}

impl Thread {
    /// `None` where the machine has no thread left: hashing then stays where it is.
    fn start(mut hasher: Hasher) -> Option<Self> {
        let (full, filled) = sync_channel::<(Vec<u8>, usize)>(WAITING);
        let (emptied, empty) = sync_channel(WAITING + 2);
        let work = move || {
            for (buffer, filled) in filled {
                hasher.update(buffer.get(..filled).unwrap_or_default());
                // A full channel or a finished sender means that the buffer is not needed.
                let _ = emptied.try_send(buffer);
            }
            hasher
        };
        let handle = std::thread::Builder::new().name("layer-hash".to_owned()).spawn(work).ok()?;
        Some(Self { full, empty, handle })
    }

    /// Gives `buffer` away and another one for it; false when the thread is gone.
    fn hand_over(&mut self, buffer: &mut Vec<u8>, filled: usize) -> bool {
        let next = self.empty.try_recv().unwrap_or_default();
        self.full.send((std::mem::replace(buffer, next), filled)).is_ok()
    }

    fn finish(self) -> Option<Hasher> {
        let Self { full, handle, .. } = self;
        drop(full);
        handle.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_digest_is_the_same_here_and_there() {
        for length in [0, 1, 1 << 20, (1 << 20) + 1, 5_000_001] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut hash = StreamHash::new(Algorithm::Sha256);
            bytes.chunks(77_777).for_each(|chunk| hash.update(chunk));
            let expected = Some((Digest::sha256(&bytes), length as u64));
            assert_eq!(hash.finish(), expected);

            let (mut hash, mut left) = (StreamHash::new(Algorithm::Sha256), bytes.as_slice());
            let mut shown = Vec::new();
            loop {
                let piece = hash.fill(|place| {
                    let most = place.len().min(33_333);
                    left.read(place.get_mut(..most).unwrap())
                });
                match piece.unwrap() {
                    0 => break,
                    piece => shown.extend_from_slice(hash.last(piece)),
                }
            }
            assert!(shown == bytes);
            assert_eq!(hash.finish(), expected);
        }
    }
}
