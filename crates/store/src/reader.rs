//! Reading one blob so that nothing unverified is taken for the truth.

use bytes::{Bytes, BytesMut};
use corten_spec::{AnyDocument, Descriptor, MAX_DOCUMENT, Verifier};
use futures_util::StreamExt;

use crate::{ByteStream, Kind, Store, StoreError};

/// A stream of one blob's bytes that checks size and digest at its end: `next` returns `None`
/// only when both are right. What was read before that is to be staged, never published.
pub struct BlobReader {
    stream: ByteStream,
    verifier: Option<Verifier>,
    object: String,
    place: String,
}

impl BlobReader {
    /// Opens `descriptor` in `store` from its first byte.
    pub async fn open(
        store: &dyn Store,
        kind: Kind,
        descriptor: &Descriptor,
    ) -> Result<Self, StoreError> {
        let (object, place) = (descriptor.digest.to_string(), store.describe());
        let verifier = Verifier::new(descriptor).map_err(|source| StoreError::Corrupt {
            object: object.clone(),
            place: place.clone(),
            source: source.into(),
        })?;
        let stream = store.fetch(kind, descriptor, 0).await?;
        Ok(Self { stream, verifier: Some(verifier), object, place })
    }

    /// The next bytes; `None` at the verified end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(verifier) = &mut self.verifier else {
            return Ok(None);
        };
        let corrupt = |source| StoreError::Corrupt {
            object: self.object.clone(),
            place: self.place.clone(),
            source,
        };
        match self.stream.next().await {
            Some(bytes) => {
                let bytes = bytes?;
                verifier.update(&bytes).map_err(|mismatch| corrupt(mismatch.into()))?;
                Ok(Some(bytes))
            }
            None => match self.verifier.take().map(Verifier::finish) {
                Some(Err(mismatch)) => Err(corrupt(mismatch.into())),
                _ => Ok(None),
            },
        }
    }
}

/// The whole of a small blob, verified; refused before the first byte when its descriptor
/// announces more than `limit` bytes (`what` names the limit in the error).
pub async fn read_small(
    store: &dyn Store,
    kind: Kind,
    descriptor: &Descriptor,
    limit: (&'static str, u64),
) -> Result<Bytes, StoreError> {
    if descriptor.size > limit.1 {
        return Err(StoreError::TooLarge {
            object: descriptor.digest.to_string(),
            place: store.describe(),
            what: limit.0,
            limit: limit.1,
        });
    }
    let mut reader = BlobReader::open(store, kind, descriptor).await?;
    let mut whole = BytesMut::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

/// The manifest or index that `descriptor` points at, verified and parsed.
pub async fn read_document(
    store: &dyn Store,
    descriptor: &Descriptor,
) -> Result<AnyDocument, StoreError> {
    let limit = ("a manifest", MAX_DOCUMENT);
    let bytes = read_small(store, Kind::Manifest, descriptor, limit).await?;
    AnyDocument::parse(descriptor, bytes).map_err(|source| StoreError::Corrupt {
        object: descriptor.digest.to_string(),
        place: store.describe(),
        source: source.into(),
    })
}
