//! A source that cuts and breaks transfers as it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MediaType, RefName};
use corten_store::{
    Begun, ByteStream, Fetcher, Ingester, Kind, MemoryStore, Pusher, Referrers, Resolved, Resolver,
    Selector, Store, StoreError, Tagger,
};
use futures_util::{StreamExt as _, stream};

/// What goes wrong with fetches of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is cut after so many bytes.
    Cut(usize),
    /// The stream ends early without an error.
    End(usize),
    /// One bit is wrong.
    Flip,
}

/// A memory store with faults: the first ones in the list happen first, then all is well.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    pub(crate) faults: Arc<Mutex<Vec<Fault>>>,
    /// Offsets at which each blob was fetched.
    pub(crate) fetched: Arc<Mutex<HashMap<Digest, Vec<u64>>>>,
    pub(crate) pushes: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn new(inner: MemoryStore, faults: &[Fault]) -> Self {
        let mut faults = faults.to_vec();
        faults.reverse();
        Self {
            inner,
            faults: Arc::new(Mutex::new(faults)),
            fetched: Arc::default(),
            pushes: Arc::default(),
        }
    }
}

#[async_trait]
impl Fetcher for Faulty {
    async fn fetch(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        let mut stream = self.inner.fetch(kind, descriptor, offset).await?;
        if kind == Kind::Manifest {
            return Ok(stream);
        }
        let digest = descriptor.digest.clone();
        self.fetched.lock().unwrap().entry(digest.clone()).or_default().push(offset);
        let Some(fault) = self.faults.lock().unwrap().pop() else {
            return Ok(stream);
        };
        let mut whole = Vec::new();
        while let Some(chunk) = stream.next().await {
            whole.extend_from_slice(&chunk?);
        }
        let mut items: Vec<Result<Bytes, StoreError>> = Vec::new();
        let mut tail = None;
        match fault {
            Fault::Flip => whole[0] ^= 1,
            Fault::End(count) => whole.truncate(count),
            Fault::Cut(count) => {
                whole.truncate(count);
                tail = Some(Err(StoreError::Interrupted {
                    object: digest.to_string(),
                    place: self.describe(),
                    source: "the line went dead".into(),
                }));
            }
        }
        items.extend(whole.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))));
        items.extend(tail);
        Ok(stream::iter(items).boxed())
    }

    async fn exists(&self, kind: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        self.inner.exists(kind, descriptor).await
    }
}

#[async_trait]
impl Resolver for Faulty {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        // As a registry that answers HEAD: without the document.
        let resolved = self.inner.resolve(selector).await?;
        Ok(Resolved { descriptor: resolved.descriptor.bare(), document: None })
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        self.inner.names().await
    }
}

#[async_trait]
impl Pusher for Faulty {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        self.inner.push(document).await
    }
}

#[async_trait]
impl Tagger for Faulty {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        self.inner.tag(name, document).await
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        self.inner.untag(name).await
    }
}

#[async_trait]
impl Referrers for Faulty {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        self.inner.referrers(subject, artifact_type).await
    }
}

#[async_trait]
impl Ingester for Faulty {
    async fn begin(
        &self,
        blob: &Descriptor,
        origin: Option<&Location>,
    ) -> Result<Begun, StoreError> {
        self.inner.begin(blob, origin).await
    }
}

impl Store for Faulty {
    fn describe(&self) -> String {
        "faulty".to_owned()
    }
}
