//! The suite that every implementer of the ports runs, so that one place can stand for another.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use corten_store::{MemoryStore, contract};
//! contract::run(|| async { MemoryStore::new("test") }, &contract::Abilities::default()).await;
//! # }
//! ```
//!
//! It panics, as a test does, with the rule that is broken.

// Panics are how a test suite speaks; it is compiled for tests alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod blobs;
mod documents;
pub mod images;

use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use corten_spec::{AnyDocument, Descriptor};
use futures_util::StreamExt as _;

use crate::{Begun, Ingest, Kind, Store, StoreError};

/// What a place may lack without breaking the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether one image can have several names.
    pub names: bool,
    /// Whether names can be taken away.
    pub untag: bool,
    /// Whether what was staged outlives the ingest that staged it.
    pub keeps_staged: bool,
    /// Whether two ingests can be open at the same time.
    pub parallel: bool,
    /// Whether documents of unknown types keep their type.
    pub opaque: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { names: true, untag: true, keeps_staged: true, parallel: true, opaque: true }
    }
}

/// Runs every check, each in a new place from `make`.
pub async fn run<S, F>(make: impl Fn() -> F, abilities: &Abilities)
where
    S: Store,
    F: Future<Output = S>,
{
    let new = || async { Arc::new(make().await) as Arc<dyn Store> };
    blobs::round_trip(&*new().await).await;
    blobs::fetch_from_every_offset(&*new().await).await;
    blobs::missing_blob(&*new().await).await;
    blobs::wrong_bytes(&*new().await).await;
    blobs::too_many_bytes(&*new().await).await;
    blobs::too_few_bytes(&*new().await).await;
    blobs::present_blob_is_not_asked_for(&*new().await).await;
    blobs::resume_within_one_ingest(&*new().await).await;
    blobs::dropped_ingest(&*new().await, abilities).await;
    if abilities.parallel {
        blobs::same_blob_twice_at_once(&*new().await).await;
        blobs::many_at_once(new().await).await;
    }
    documents::push_is_byte_exact(&*new().await).await;
    documents::push_is_idempotent(&*new().await).await;
    documents::missing_document(&*new().await).await;
    if abilities.opaque {
        documents::unknown_types_are_carried(&*new().await).await;
    }
    documents::referrers(&*new().await).await;
    documents::referrers_before_subject(&*new().await).await;
    if abilities.names {
        documents::names_are_sorted(&*new().await).await;
        documents::tag_moves(&*new().await).await;
        documents::tag_of_nothing(&*new().await).await;
    }
    if abilities.names && abilities.untag {
        documents::untag_leaves_the_manifest(&*new().await).await;
    }
}

/// Takes in a whole blob; succeeds when it is there.
pub async fn put(store: &dyn Store, blob: &Descriptor, bytes: &[u8]) -> Result<(), StoreError> {
    match store.begin(blob, None).await? {
        Begun::Present | Begun::Mounted => Ok(()),
        Begun::Ingest(mut ingest) => pour(&mut *ingest, bytes).await,
    }
}

/// Sends what is missing of `bytes`, in pieces, and commits.
async fn pour(ingest: &mut dyn Ingest, bytes: &[u8]) -> Result<(), StoreError> {
    let offset = usize::try_from(ingest.resume().await?).unwrap().min(bytes.len());
    for piece in bytes[offset..].chunks(10_007) {
        ingest.append(Bytes::copy_from_slice(piece)).await?;
    }
    ingest.commit().await
}

async fn ingest(store: &dyn Store, blob: &Descriptor) -> Box<dyn Ingest> {
    match store.begin(blob, None).await.expect("an ingest begins") {
        Begun::Ingest(ingest) => ingest,
        Begun::Present => panic!("{} is said to be present", blob.digest),
        Begun::Mounted => panic!("{} is said to be mounted", blob.digest),
    }
}

async fn read_from(
    store: &dyn Store,
    kind: Kind,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut stream = store.fetch(kind, descriptor, offset).await?;
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        assert!(!chunk.is_empty(), "chunks are of any size above zero");
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.to_vec())
}

/// Puts the blobs of an image, then its manifest.
async fn push_image(store: &dyn Store, image: &images::Image) {
    for (descriptor, bytes) in &image.blobs {
        put(store, descriptor, bytes).await.expect("a blob is taken in");
    }
    store.push(&image.manifest).await.expect("a manifest is pushed");
}

fn is_not_found<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotFound { .. }))
}

fn bare(document: &AnyDocument) -> Descriptor {
    document.descriptor().bare()
}
