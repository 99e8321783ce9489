//! The six ports: what a place must be able to do so that content can be copied from and to it.
//!
//! A [`Store`] is one place with all of them: one repository of a registry, one layout, one
//! archive. Names inside it are [`RefName`]s: tags in a registry, `ref.name` values in a layout.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MediaType, RefName};
use futures_util::stream::BoxStream;

use crate::StoreError;

/// What picks one manifest of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By name.
    Name(RefName),
    /// By content address.
    Digest(Digest),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Whether a descriptor is addressed as a manifest (children of an index, subjects, roots) or as
/// a blob (configs, layers). Registries keep the two apart; layouts do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A manifest or an index, whatever its media type.
    Manifest,
    /// Anything else.
    Blob,
}

/// Bytes as they arrive, not yet verified. Chunks are of any size above zero; after the end comes
/// nothing more, however often it is asked; dropping the stream ends the transfer.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// Finds manifests by name or digest.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The descriptor of what `selector` names, with `media_type`, `digest` and `size` right.
    /// A store may have fetched the document on the way; it returns it where it has.
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError>;

    /// Every name in the store, sorted by bytes, all pages.
    async fn names(&self) -> Result<Vec<RefName>, StoreError>;
}

/// A resolved selector.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Descriptor of the manifest or index.
    pub descriptor: Descriptor,
    /// The verified document, where resolving brought it along.
    pub document: Option<AnyDocument>,
}

/// Reads content.
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// The bytes of `descriptor` from `offset` (in bytes, at most its size) on, **unverified**:
    /// wrap them in a [`crate::BlobReader`], or hand them to an [`Ingest`], which verifies.
    async fn fetch(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError>;

    /// Whether the store has this content, without reading it.
    async fn exists(&self, kind: Kind, descriptor: &Descriptor) -> Result<bool, StoreError>;
}

/// Writes manifests and indexes, byte for byte.
#[async_trait]
pub trait Pusher: Send + Sync {
    /// Stores `document` under its digest; idempotent. When it has a subject, the store's answer
    /// to [`Referrers::referrers`] includes it from here on.
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError>;
}

/// Names manifests.
#[async_trait]
pub trait Tagger: Send + Sync {
    /// Makes `name` point at a document that the store already has, in one atomic step.
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError>;

    /// Takes the name away and leaves the manifest; `NotFound` when there is no such name.
    async fn untag(&self, name: &RefName) -> Result<(), StoreError>;
}

/// Lists the manifests that refer to another one.
#[async_trait]
pub trait Referrers: Send + Sync {
    /// Descriptors of all manifests whose `subject` is `subject`, with `artifact_type` and
    /// annotations (distribution-spec, Listing Referrers). Empty when there are none.
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError>;
}

/// Takes in blobs.
#[async_trait]
pub trait Ingester: Send + Sync {
    /// Starts, or goes on with, taking in `blob`. `origin` tells where the content lives already,
    /// so that a store that can mount it from there does so.
    async fn begin(
        &self,
        blob: &Descriptor,
        origin: Option<&Location>,
    ) -> Result<Begun, StoreError>;
}

/// How an ingest starts.
pub enum Begun {
    /// The store has the blob; nothing to send.
    Present,
    /// The store took the blob from the origin by itself.
    Mounted,
    /// Send the bytes here.
    Ingest(Box<dyn Ingest>),
}

/// One blob on its way in. Nothing is visible before `commit`; dropping it keeps what was staged
/// where the store can use it for a later resume.
#[async_trait]
pub trait Ingest: Send {
    /// The offset in bytes from which the next `append` must go on: called before the first one,
    /// and again after `append` or `commit` failed with an error that
    /// [`StoreError::is_transient`].
    async fn resume(&mut self) -> Result<u64, StoreError>;

    /// Takes the next bytes.
    async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Checks size and digest and publishes the blob atomically; on a mismatch the staged bytes
    /// are dropped, the error is [`StoreError::Corrupt`], and the next `resume` starts at 0.
    async fn commit(&mut self) -> Result<(), StoreError>;
}

/// A place with all ports.
#[async_trait]
pub trait Store: Resolver + Fetcher + Pusher + Tagger + Referrers + Ingester + 'static {
    /// The place in words, for messages and reports, without secrets.
    fn describe(&self) -> String;

    /// The registry location, where the place is one: what another repository of the same host
    /// can mount from.
    fn location(&self) -> Option<Location> {
        None
    }

    /// Keeps `document`, which the store already has, as an image without a name. A place that
    /// clears away what no name leads to lists it; a place that does not has nothing to do.
    async fn keep(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let _ = document;
        Ok(())
    }

    /// How many blobs the place takes in at the same time. One that writes them one behind the
    /// other says 1, and so gets them in a determined order.
    fn lanes(&self) -> usize {
        usize::MAX
    }
}
