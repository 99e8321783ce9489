//! A store in memory, for tests and for things that are small.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MediaType, RefName, Verifier};
use futures_util::{StreamExt as _, stream};

use crate::{
    Begun, ByteStream, Fetcher, Ingest, Ingester, Kind, Pusher, Referrers, Resolved, Resolver,
    Selector, Store, StoreError, Tagger, describe_referrer,
};

/// Bytes per chunk of a fetch.
const CHUNK: usize = 256 * 1024;

/// A place in memory; clones are the same place.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Bytes>,
    documents: BTreeMap<Digest, AnyDocument>,
    names: BTreeMap<RefName, Descriptor>,
    staged: HashMap<Digest, BytesMut>,
}

impl MemoryStore {
    /// An empty store; `name` stands in messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into().into(), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is one insert or remove, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, object: impl ToString) -> StoreError {
        StoreError::NotFound { object: object.to_string(), place: self.describe() }
    }
}

impl State {
    fn bytes(&self, digest: &Digest) -> Option<Bytes> {
        let document = || self.documents.get(digest).map(|document| document.bytes().clone());
        self.blobs.get(digest).cloned().or_else(document)
    }
}

#[async_trait]
impl Resolver for MemoryStore {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        let state = self.state();
        let found = match selector {
            Selector::Name(name) => state.names.get(name).map(|found| &found.digest),
            Selector::Digest(digest) => Some(digest),
        };
        let document = found.and_then(|digest| state.documents.get(digest)).cloned();
        match document {
            Some(document) => {
                Ok(Resolved { descriptor: document.descriptor().clone(), document: Some(document) })
            }
            None => Err(self.missing(selector)),
        }
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        Ok(self.state().names.keys().cloned().collect())
    }
}

#[async_trait]
impl Fetcher for MemoryStore {
    async fn fetch(
        &self,
        _: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        let digest = &descriptor.digest;
        let mut bytes = self.state().bytes(digest).ok_or_else(|| self.missing(digest))?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let mut rest = bytes.split_off(offset);
        let chunks = std::iter::from_fn(move || {
            let chunk = rest.split_to(rest.len().min(CHUNK));
            (!chunk.is_empty()).then_some(Ok(chunk))
        });
        Ok(stream::iter(chunks).boxed())
    }

    async fn exists(&self, _: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let state = self.state();
        let digest = &descriptor.digest;
        Ok(state.blobs.contains_key(digest) || state.documents.contains_key(digest))
    }
}

#[async_trait]
impl Pusher for MemoryStore {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.state().documents.insert(document.descriptor().digest.clone(), document.clone());
        Ok(())
    }
}

#[async_trait]
impl Tagger for MemoryStore {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        let mut state = self.state();
        let digest = &document.descriptor().digest;
        if !state.documents.contains_key(digest) {
            return Err(self.missing(digest));
        }
        state.names.insert(name.clone(), document.descriptor().bare());
        Ok(())
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        self.state().names.remove(name).map(drop).ok_or_else(|| self.missing(name))
    }
}

#[async_trait]
impl Referrers for MemoryStore {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let state = self.state();
        let documents = state.documents.values();
        Ok(documents
            .filter(|document| document.subject().is_some_and(|found| found.digest == *subject))
            .map(describe_referrer)
            .filter(|found| {
                artifact_type.is_none() || found.artifact_type.as_ref() == artifact_type
            })
            .collect())
    }
}

#[async_trait]
impl Ingester for MemoryStore {
    async fn begin(&self, blob: &Descriptor, _: Option<&Location>) -> Result<Begun, StoreError> {
        let verifier = Verifier::new(blob).map_err(|source| StoreError::Unsupported {
            place: self.describe(),
            action: format!("ingest of {} ({source})", blob.digest),
        })?;
        let mut state = self.state();
        if state.bytes(&blob.digest).is_some() {
            return Ok(Begun::Present);
        }
        let staged = state.staged.remove(&blob.digest).unwrap_or_default();
        let (digest, size, store) = (blob.digest.clone(), blob.size, self.clone());
        Ok(Begun::Ingest(Box::new(Staged { store, digest, size, verifier, staged })))
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        format!("memory:{}", self.name)
    }
}

struct Staged {
    store: MemoryStore,
    digest: Digest,
    /// Announced number of bytes.
    size: u64,
    /// Of the empty input.
    verifier: Verifier,
    staged: BytesMut,
}

impl Staged {
    fn corrupt(&mut self, mismatch: corten_spec::Mismatch) -> StoreError {
        self.staged.clear();
        StoreError::Corrupt {
            object: self.digest.to_string(),
            place: self.store.describe(),
            source: mismatch.into(),
        }
    }
}

#[async_trait]
impl Ingest for Staged {
    async fn resume(&mut self) -> Result<u64, StoreError> {
        Ok(self.staged.len() as u64)
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.staged.len() as u64 + bytes.len() as u64 > self.size {
            let (digest, size) = (self.digest.clone(), self.size);
            return Err(self.corrupt(corten_spec::Mismatch::TooLong { digest, size }));
        }
        self.staged.extend_from_slice(&bytes);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let mut verifier = self.verifier.clone();
        if let Err(mismatch) = verifier.update(&self.staged).and_then(|()| verifier.finish()) {
            return Err(self.corrupt(mismatch));
        }
        let bytes = std::mem::take(&mut self.staged).freeze();
        self.store.state().blobs.insert(self.digest.clone(), bytes);
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.staged.is_empty() {
            let staged = std::mem::take(&mut self.staged);
            self.store.state().staged.insert(self.digest.clone(), staged);
        }
    }
}
