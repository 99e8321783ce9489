//! Checking a stream of bytes against the descriptor that announced it.

use crate::{Algorithm, Descriptor, Digest, DigestError, Hasher};

/// What a stream was, where it was not what its descriptor said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// More bytes came than the descriptor announced; found before they were hashed.
    #[error("{digest} is longer than the {size} bytes its descriptor announces")]
    TooLong {
        /// The announced digest.
        digest: Digest,
        /// The announced size in bytes.
        size: u64,
    },
    /// The stream ended early.
    #[error("{digest} ended after {got} of {size} bytes")]
    TooShort {
        /// The announced digest.
        digest: Digest,
        /// The announced size in bytes.
        size: u64,
        /// The number of bytes that came.
        got: u64,
    },
    /// The size was right and the content another.
    #[error("the bytes announced as {digest} are {actual}")]
    Digest {
        /// The announced digest.
        digest: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}

/// Follows the bytes of one blob and tells at the end whether they are the announced ones.
///
/// Cloning keeps a checkpoint: a transfer that was cut goes on from it without hashing again.
#[derive(Clone, Debug)]
pub struct Verifier {
    digest: Digest,
    size: u64,
    taken: u64,
    hasher: Hasher,
}

impl Verifier {
    /// Fails when the digest's algorithm cannot be computed here.
    pub fn new(descriptor: &Descriptor) -> Result<Self, DigestError> {
        let algorithm: Algorithm = descriptor.digest.algorithm()?;
        let digest = descriptor.digest.clone();
        Ok(Self { digest, size: descriptor.size, taken: 0, hasher: Hasher::new(algorithm) })
    }

    /// Takes the next bytes; refuses them, unhashed, when they pass the announced size.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let taken = self.taken.saturating_add(bytes.len() as u64);
        if taken > self.size {
            return Err(Mismatch::TooLong { digest: self.digest.clone(), size: self.size });
        }
        self.hasher.update(bytes);
        self.taken = taken;
        Ok(())
    }

    /// Number of bytes taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Succeeds when size and digest are the announced ones.
    pub fn finish(self) -> Result<(), Mismatch> {
        let Self { digest, size, taken, hasher } = self;
        if taken < size {
            return Err(Mismatch::TooShort { digest, size, got: taken });
        }
        let actual = hasher.finish();
        if actual == digest { Ok(()) } else { Err(Mismatch::Digest { digest, actual }) }
    }
}
