//! The local store with a second ear: a layer that comes in is made ready to run on its way, while
//! it is downloaded and while the layers beside it are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use corten_bundle::{Form, Snapshots};
use corten_spec::{AnyDocument, Descriptor, DiffId, Digest, Location, MediaType, RefName};
use corten_store::{
    Begun, ByteStream, Fetcher, Ingest, Ingester, Kind, LayoutStore, Pusher, Referrers, Resolved,
    Resolver, Selector, Store, StoreError, Tagger,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::layers::{AHEAD, Feed, Reading};

/// The local store as a target of `copy`.
pub(super) struct Rendering {
    store: LayoutStore,
    snapshots: Snapshots,
    form: Form,
    layers: BTreeMap<Digest, DiffId>,
}

impl Rendering {
    /// What comes into `store` of `layers` goes to `snapshots` too.
    pub(super) fn new(
        store: LayoutStore,
        snapshots: Snapshots,
        form: Form,
        layers: BTreeMap<Digest, DiffId>,
    ) -> Self {
        Self { store, snapshots, form, layers }
    }
}

#[async_trait]
impl Resolver for Rendering {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        self.store.resolve(selector).await
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        self.store.names().await
    }
}

#[async_trait]
impl Fetcher for Rendering {
    async fn fetch(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        self.store.fetch(kind, descriptor, offset).await
    }

    async fn exists(&self, kind: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        self.store.exists(kind, descriptor).await
    }
}

#[async_trait]
impl Pusher for Rendering {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.store.push(document).await
    }
}

#[async_trait]
impl Tagger for Rendering {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        self.store.tag(name, document).await
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        self.store.untag(name).await
    }
}

#[async_trait]
impl Referrers for Rendering {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        self.store.referrers(subject, artifact_type).await
    }
}

#[async_trait]
impl Ingester for Rendering {
    async fn begin(
        &self,
        blob: &Descriptor,
        origin: Option<&Location>,
    ) -> Result<Begun, StoreError> {
        let begun = self.store.begin(blob, origin).await?;
        let wanted = self.layers.get(&blob.digest);
        let wanted = wanted.filter(|diff_id| !self.snapshots.has(self.form, diff_id));
        Ok(match (begun, wanted) {
            (Begun::Ingest(inner), Some(diff_id)) => Begun::Ingest(Box::new(Heard {
                inner,
                ear: None,
                snapshots: self.snapshots.clone(),
                form: self.form,
                diff_id: diff_id.clone(),
            })),
            (begun, _) => begun,
        })
    }
}

#[async_trait]
impl Store for Rendering {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn keep(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.store.keep(document).await
    }
}

/// A layer on its way into the store and, as long as every byte of it passes here, into the
/// snapshots. What does not get there is made from the blob afterwards, so nothing fails here: a
/// layer that cannot be unpacked is told then.
struct Heard {
    inner: Box<dyn Ingest>,
    ear: Option<Ear>,
    snapshots: Snapshots,
    form: Form,
    diff_id: DiffId,
}

/// The thread that unpacks what passes.
struct Ear {
    feed: mpsc::Sender<Feed>,
    passed: u64,
    thread: JoinHandle<()>,
}

impl Heard {
    fn listen(&self) -> Ear {
        let (feed, receiver) = mpsc::channel(AHEAD);
        let (snapshots, form) = (self.snapshots.clone(), self.form);
        let diff_id = self.diff_id.clone();
        let thread = tokio::task::spawn_blocking(move || {
            // Made again from the blob, where it fails; that tells why.
            let _ = snapshots.render(form, &diff_id, Reading::new(receiver));
        });
        Ear { feed, passed: 0, thread }
    }
}

#[async_trait]
impl Ingest for Heard {
    async fn resume(&mut self) -> Result<u64, StoreError> {
        let offset = self.inner.resume().await?;
        let heard = self.ear.as_ref().map(|ear| ear.passed);
        if heard != Some(offset) {
            // Its thread ends by itself, with an error that nobody hears.
            self.ear = (offset == 0).then(|| self.listen());
        }
        Ok(offset)
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(ear) = &mut self.ear {
            ear.passed = ear.passed.saturating_add(bytes.len() as u64);
            if ear.feed.send(Ok(Some(bytes.clone()))).await.is_err() {
                self.ear = None;
            }
        }
        self.inner.append(bytes).await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        if let Some(ear) = self.ear.take() {
            // The thread may be gone, which is its right.
            let _ = ear.feed.send(Ok(None)).await;
            drop(ear.feed);
            let _ = ear.thread.await;
        }
        Ok(())
    }
}

/// Every layer of the stack, ready: what did not become so on its way is made from its blob.
pub(super) fn missing(
    snapshots: &Snapshots,
    form: Form,
    layers: &[(Descriptor, DiffId)],
) -> Vec<(Descriptor, DiffId)> {
    let mut left: Vec<(Descriptor, DiffId)> = Vec::new();
    for (blob, diff_id) in layers {
        let twice = left.iter().any(|(_, other)| other == diff_id);
        if !twice && !snapshots.has(form, diff_id) {
            left.push((blob.clone(), diff_id.clone()));
        }
    }
    left
}
