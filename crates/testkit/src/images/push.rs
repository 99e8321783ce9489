//! Putting images into any store, by its ports alone.

use bytes::Bytes;
use corten_spec::{Algorithm, Descriptor, Hasher, MediaType, RefName};
use corten_store::{Begun, Store, StoreError};

use super::TestImage;
use crate::noise::Noise;

/// Puts an image into a store: blobs, then manifests from the children up, then the name. Layers
/// not to be distributed stay away.
pub async fn push(
    store: &dyn Store,
    name: Option<&RefName>,
    image: &TestImage,
) -> Result<(), StoreError> {
    for (descriptor, bytes) in image.distributable() {
        ingest(store, descriptor, std::iter::once(bytes.clone())).await?;
    }
    for document in image.documents() {
        store.push(document).await?;
    }
    match name {
        Some(name) => store.tag(name, image.root()).await,
        None => Ok(()),
    }
}

/// Puts a blob of noise into a store, piece by piece, and tells what it is.
pub async fn push_noise(store: &dyn Store, noise: Noise) -> Result<Descriptor, StoreError> {
    let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
    for piece in noise.clone() {
        hasher.update(&piece);
        size += piece.len() as u64;
    }
    let media_type = MediaType::new("application/octet-stream");
    let descriptor = Descriptor::new(media_type, hasher.finish(), size);
    ingest(store, &descriptor, noise).await?;
    Ok(descriptor)
}

async fn ingest(
    store: &dyn Store,
    descriptor: &Descriptor,
    pieces: impl Iterator<Item = Bytes>,
) -> Result<(), StoreError> {
    let Begun::Ingest(mut ingest) = store.begin(descriptor, None).await? else {
        return Ok(());
    };
    let mut skip = ingest.resume().await?;
    for piece in pieces {
        let known = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
        skip -= known as u64;
        if known < piece.len() {
            ingest.append(piece.slice(known..)).await?;
        }
    }
    ingest.commit().await
}
