//! Uploads: blobs on their way in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use corten_registry::wire::{Repository, Session};
use corten_spec::{Algorithm, Digest, Hasher};
use tokio::sync::Mutex;

use super::Memory;

/// Most bytes set aside at once on the word of a client.
const MAX_RESERVE: u64 = 64 * 1024 * 1024;

/// The uploads under way. Each belongs to one repository, and is worked on by one request at a
/// time.
#[derive(Default)]
pub(super) struct Uploads(HashMap<Session, Entry>);

struct Entry {
    repository: Repository,
    upload: Arc<Mutex<Upload>>,
    touched: Instant,
}

impl Uploads {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The bytes of a blob so far.
pub(crate) struct Upload {
    taken: BytesMut,
    algorithm: Algorithm,
    hasher: Hasher,
    limit: u64,
}

/// Why an upload does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UploadError {
    /// More bytes than a blob may have.
    #[error("a blob may have {0} bytes")]
    TooLarge(u64),
    /// The bytes are not those of the digest.
    #[error("the bytes are {0}")]
    Digest(Digest),
    /// The digest's algorithm cannot be computed here.
    #[error(transparent)]
    Algorithm(#[from] corten_spec::DigestError),
}

/// A point to which an upload can go back.
pub(crate) struct Mark {
    length: usize,
    hasher: Hasher,
}

/// The whole of an upload, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) digest: Digest,
    pub(crate) bytes: Bytes,
}

impl Upload {
    /// Nothing so far. The algorithm is the one its digest is expected to have.
    pub(crate) fn new(algorithm: Option<Algorithm>, limit: u64) -> Self {
        let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
        Self { taken: BytesMut::new(), algorithm, hasher: Hasher::new(algorithm), limit }
    }

    /// Number of bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.taken.len() as u64
    }

    /// Makes room for so many bytes more, within reason.
    pub(crate) fn expect(&mut self, length: Option<u64>) {
        let length = length.unwrap_or_default().min(MAX_RESERVE);
        self.taken.reserve(usize::try_from(length).unwrap_or_default());
    }

    /// Takes the next bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        if self.offset().saturating_add(bytes.len() as u64) > self.limit {
            return Err(UploadError::TooLarge(self.limit));
        }
        self.hasher.update(bytes);
        self.taken.extend_from_slice(bytes);
        Ok(())
    }

    /// The point where the upload is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { length: self.taken.len(), hasher: self.hasher.clone() }
    }

    /// Forgets what came after `mark`.
    pub(crate) fn return_to(&mut self, mark: Mark) {
        self.taken.truncate(mark.length);
        self.hasher = mark.hasher;
    }

    /// Succeeds when the bytes are those of `digest`; whatever it was expected to be, its own
    /// algorithm counts.
    pub(crate) fn finish(&mut self, digest: &Digest) -> Result<Finished, UploadError> {
        let algorithm = digest.algorithm()?;
        let actual = if algorithm == self.algorithm {
            self.hasher.clone().finish()
        } else {
            Digest::of(algorithm, &self.taken)
        };
        if actual != *digest {
            return Err(UploadError::Digest(actual));
        }
        Ok(Finished { digest: actual, bytes: std::mem::take(&mut self.taken).freeze() })
    }
}

impl Memory {
    /// Starts a session; `None` when there are `most` already. Sessions that nobody asked about
    /// for longer than `age` are dropped first.
    pub(crate) fn start_upload(
        &self,
        repository: &Repository,
        upload: Upload,
        (most, age): (usize, Duration),
    ) -> Option<Session> {
        let session = self.session();
        let (repository, touched) = (repository.clone(), Instant::now());
        let uploads = &mut self.state().uploads.0;
        uploads.retain(|_, entry| entry.touched.elapsed() <= age);
        if uploads.len() >= most {
            return None;
        }
        let upload = Arc::new(Mutex::new(upload));
        uploads.insert(session.clone(), Entry { repository, upload, touched });
        Some(session)
    }

    /// The upload of a session that was started in `repository`.
    pub(crate) fn find_upload(
        &self,
        repository: &Repository,
        session: &Session,
    ) -> Option<Arc<Mutex<Upload>>> {
        let mut state = self.state();
        let entry = state.uploads.0.get_mut(session)?;
        if entry.repository != *repository {
            return None;
        }
        entry.touched = Instant::now();
        Some(Arc::clone(&entry.upload))
    }

    /// Ends a session.
    pub(crate) fn end_upload(&self, session: &Session) {
        self.state().uploads.0.remove(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Repository {
        Repository::parse(text).unwrap()
    }

    #[test]
    fn an_upload_ends_as_the_blob_of_its_digest() {
        for algorithm in Algorithm::ALL {
            for expected in [None, Some(algorithm)] {
                let mut upload = Upload::new(expected, 10);
                upload.append(b"ab").unwrap();
                upload.append(b"c").unwrap();
                assert_eq!(upload.offset(), 3);
                let digest = Digest::of(algorithm, b"abc");
                let bytes = Bytes::from_static(b"abc");
                assert_eq!(upload.finish(&digest), Ok(Finished { digest, bytes }));
            }
        }
    }

    #[test]
    fn other_bytes_than_those_of_the_digest_are_refused() {
        let mut upload = Upload::new(None, 10);
        upload.append(b"abc").unwrap();
        let actual = Digest::sha256(b"abc");
        assert_eq!(upload.finish(&Digest::sha256(b"x")), Err(UploadError::Digest(actual)));
        let unknown = Digest::parse("md5:abc").unwrap();
        assert!(matches!(upload.finish(&unknown), Err(UploadError::Algorithm(_))));
    }

    #[test]
    fn an_upload_goes_back_to_a_mark_and_stops_at_its_limit() {
        let mut upload = Upload::new(None, 4);
        upload.append(b"ab").unwrap();
        let mark = upload.mark();
        upload.append(b"xy").unwrap();
        assert_eq!(upload.append(b"z"), Err(UploadError::TooLarge(4)));
        upload.return_to(mark);
        upload.append(b"c").unwrap();
        assert!(upload.finish(&Digest::sha256(b"abc")).is_ok());
    }

    #[test]
    fn a_session_belongs_to_its_repository_and_ends() {
        let memory = Memory::new();
        let bounds = (2, Duration::from_secs(60));
        let start = || memory.start_upload(&name("a"), Upload::new(None, 9), bounds);
        let session = start().unwrap();
        assert!(memory.find_upload(&name("a"), &session).is_some());
        assert!(memory.find_upload(&name("b"), &session).is_none());
        assert!(start().is_some());
        assert!(start().is_none());
        memory.end_upload(&session);
        assert!(memory.find_upload(&name("a"), &session).is_none());
        assert_eq!(memory.uploads(), 1);
        let fresh = (2, Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(memory.start_upload(&name("a"), Upload::new(None, 9), fresh).is_some());
        assert_eq!(memory.uploads(), 1);
    }
}
