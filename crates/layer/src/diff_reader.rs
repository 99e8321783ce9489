//! Reading a layer with both of its digests computed on the way.

use std::io::{self, Read};

use corten_spec::{Algorithm, Descriptor, DiffId, Digest, Mismatch};

use crate::error::EntryPosition;
use crate::stream_hash::StreamHash;
use crate::{Compression, Decoder, LayerError, Limits, apart};

/// Reads the unpacked archive of a layer, and knows at the end what the packed and the unpacked
/// bytes were. Hashing runs on threads of its own as soon as a layer is worth it, since unpacking
/// is what takes the time.
pub struct DiffReader<R> {
    decoder: Decoder<Hashing<R>>,
    hash: StreamHash,
    limits: Limits,
}

/// Both sides of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The compression that was found.
    pub compression: Compression,
    /// Digest of the packed bytes: the address of the layer.
    pub digest: Digest,
    /// Number of packed bytes.
    pub size: u64,
    /// Digest of the unpacked archive.
    pub diff_id: DiffId,
    /// Number of unpacked bytes.
    pub unpacked_size: u64,
}

impl Unpacked {
    /// Succeeds when the packed bytes were the ones that `descriptor` announces. The digest can
    /// only be compared when it is of the algorithm that was computed.
    pub fn check(&self, descriptor: &Descriptor) -> Result<(), Mismatch> {
        let (digest, size, got) = (descriptor.digest.clone(), descriptor.size, self.size);
        if got > size {
            return Err(Mismatch::TooLong { digest, size });
        }
        if got < size {
            return Err(Mismatch::TooShort { digest, size, got });
        }
        if digest != self.digest {
            return Err(Mismatch::Digest { digest, actual: self.digest.clone() });
        }
        Ok(())
    }
}

impl<R: Read> DiffReader<R> {
    /// Opens a layer; `announced` as in [`Decoder::open`]. Both digests are sha256.
    pub fn open(
        packed: R,
        announced: Option<Compression>,
        limits: Limits,
    ) -> Result<Self, LayerError> {
        Self::with_algorithms(packed, announced, limits, (Algorithm::Sha256, Algorithm::Sha256))
    }

    /// The same with the algorithms of the packed and of the unpacked digest.
    pub fn with_algorithms(
        packed: R,
        announced: Option<Compression>,
        limits: Limits,
        (digest, diff_id): (Algorithm, Algorithm),
    ) -> Result<Self, LayerError> {
        let hash = Some(StreamHash::new(digest));
        let decoder = Decoder::open(Hashing { source: packed, length: 0, hash }, announced)?;
        Ok(Self { decoder, hash: StreamHash::new(diff_id), limits })
    }

    /// Opens a layer whose packed bytes somebody else answers for, or that its DiffId alone is to
    /// prove: only the unpacked bytes are hashed. To be ended by [`DiffReader::finish_diff`].
    pub fn of_diff(packed: R, limits: Limits, diff_id: Algorithm) -> Result<Self, LayerError> {
        let decoder = Decoder::open(Hashing { source: packed, length: 0, hash: None }, None)?;
        Ok(Self { decoder, hash: StreamHash::new(diff_id), limits })
    }

    /// The same with the entries of the archive between its bytes, and of its faults those that `tolerant` lets
    /// pass.
    pub(crate) fn with_entries(
        packed: R,
        announced: Option<Compression>,
        (digest, diff_id): (Algorithm, Algorithm),
        how: (apart::Starter, bool, Limits),
    ) -> Result<Self, LayerError> {
        let hash = Some(StreamHash::new(digest));
        let hashing = Hashing { source: packed, length: 0, hash };
        let decoder = Decoder::open_apart(hashing, announced, how)?;
        Ok(Self { decoder, hash: StreamHash::new(diff_id), limits: how.2 })
    }

    /// What comes next where [`DiffReader::read`] gives nothing more, of a reader with entries.
    pub(crate) fn next(&mut self) -> Result<apart::Next, LayerError> {
        self.decoder.next()
    }

    /// Unpacked bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.hash.length()
    }

    /// The compression that was found.
    pub fn compression(&self) -> Compression {
        self.decoder.compression()
    }

    /// Reads what is left and tells the DiffId and the number of unpacked bytes.
    pub fn finish_diff(mut self) -> Result<(DiffId, u64), LayerError> {
        self.drain()?;
        let (diff_id, unpacked_size) = self.hash.finish().ok_or_else(lost)?;
        Ok((DiffId(diff_id), unpacked_size))
    }

    /// Reads what is left and tells what the layer was.
    pub fn finish(mut self) -> Result<Unpacked, LayerError> {
        self.drain()?;
        let compression = self.decoder.compression();
        let mut hashing = self.decoder.into_inner().ok_or_else(lost)?;
        // A zstd decoder may leave bytes behind the last frame unread; they belong to the blob.
        io::copy(&mut hashing, &mut io::sink()).map_err(LayerError::from_io)?;
        let (digest, size) = hashing.hash.and_then(StreamHash::finish).ok_or_else(lost)?;
        let (diff_id, unpacked_size) = self.hash.finish().ok_or_else(lost)?;
        Ok(Unpacked { compression, digest, size, diff_id: DiffId(diff_id), unpacked_size })
    }

    /// Passes over all bytes, up to what stands between them where entries do.
    pub(crate) fn drain(&mut self) -> Result<(), LayerError> {
        while !self.piece()?.is_empty() {}
        Ok(())
    }

    /// The next unpacked bytes, as many as there are at once: reading without a copy. Nothing is the end.
    pub fn piece(&mut self) -> Result<&[u8], LayerError> {
        let decoder = &mut self.decoder;
        let taken = loop {
            match self.hash.fill(|place| decoder.read(place)) {
                Ok(taken) => break taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::from_io(error)),
            }
        };
        self.within_limits().map_err(LayerError::from_io)?;
        Ok(self.hash.last(taken))
    }

    fn within_limits(&self) -> io::Result<()> {
        let unpacked = self.hash.length();
        if unpacked > self.limits.unpacked {
            return Err(self.over("unpacked", self.limits.unpacked));
        }
        let packed = self.decoder.source().map_or(0, |hashing| hashing.length);
        if unpacked > Limits::RATIO_FLOOR && unpacked / self.limits.ratio.max(1) > packed.max(1) {
            return Err(self.over("ratio", self.limits.ratio));
        }
        Ok(())
    }

    fn over(&self, what: &'static str, limit: u64) -> io::Error {
        let entry = EntryPosition { name: Vec::new(), offset: self.hash.length() };
        LayerError::Limit { entry, what, limit }.into_io()
    }
}

impl<R: Read> Read for DiffReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.decoder.read(buffer)?;
        self.hash.update(buffer.get(..taken).unwrap_or_default());
        self.within_limits()?;
        Ok(taken)
    }
}

/// Only a panic of a hash function could do that.
fn lost() -> LayerError {
    LayerError::Read(io::Error::other("a hashing thread was lost"))
}

/// A source whose bytes are counted, and hashed where that is wanted, as they are read.
struct Hashing<R> {
    source: R,
    length: u64,
    hash: Option<StreamHash>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.source.read(buffer)?;
        self.length = self.length.saturating_add(taken as u64);
        if let Some(hash) = &mut self.hash {
            hash.update(buffer.get(..taken).unwrap_or_default());
        }
        Ok(taken)
    }
}
