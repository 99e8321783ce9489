//! Documents: exact bytes, their descriptor, and a parsed view of them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Mismatch, Verifier};

/// Most bytes a manifest, an index or a config may have. distribution-spec asks registries to take
/// at least 4 MiB; clients in the field stop at 4 MiB.
pub const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

/// Most layers of an image: far above what others mount, and what one index of ours holds. Manifests of artifacts, whose
/// layers are not stacked, have no such limit.
pub const MAX_LAYERS: usize = 1000;

/// What can stand in a [`Document`].
pub trait ImageDocument: Serialize + DeserializeOwned {
    /// The value of `schemaVersion`; 2 where the document has none.
    fn schema_version(&self) -> u32;
    /// The `mediaType` that stands inside, if any.
    fn own_media_type(&self) -> Option<&MediaType>;
    /// Whether a descriptor of this type may point at such a document.
    fn accepts(media_type: &MediaType) -> bool;
    /// How many layers it gives an image: at most [`MAX_LAYERS`], read or written.
    fn image_layers(&self) -> usize {
        0
    }
}

/// Why bytes are not the document that was announced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// More than [`MAX_DOCUMENT`] bytes.
    #[error("{digest} has {size} bytes; a document may have {MAX_DOCUMENT}")]
    TooLarge {
        /// Announced digest.
        digest: Digest,
        /// Announced size in bytes.
        size: u64,
    },
    /// The announced digest cannot be computed here.
    #[error(transparent)]
    Algorithm(#[from] crate::DigestError),
    /// The bytes are not those announced.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The bytes are no JSON of this shape.
    #[error("{digest} is not a valid {media_type}")]
    Json {
        /// Digest of the document.
        digest: Digest,
        /// Announced type.
        media_type: MediaType,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// `schemaVersion` is not 2.
    #[error("{digest} has schemaVersion {version}; only 2 is supported")]
    SchemaVersion {
        /// Digest of the document.
        digest: Digest,
        /// What stands there.
        version: u32,
    },
    /// An image of more than [`MAX_LAYERS`] layers.
    #[error("{digest} has {layers} layers; an image may have {MAX_LAYERS}")]
    Layers {
        /// Digest of the manifest.
        digest: Digest,
        /// How many there are.
        layers: usize,
    },
    /// The document says inside that it is something else than its descriptor says.
    #[error("{digest} was announced as {announced} but says it is {inside}")]
    MediaType {
        /// Digest of the document.
        digest: Digest,
        /// Type in the descriptor.
        announced: MediaType,
        /// Type in the document.
        inside: MediaType,
    },
}

/// An image document as received: the exact bytes are the truth, `value` is a view of them.
#[derive(Clone, Debug)]
pub struct Document<T> {
    bytes: Bytes,
    // Boxed, so that moving a document around (alone or in `AnyDocument`) moves three pointers.
    descriptor: Box<Descriptor>,
    value: Box<T>,
}

impl<T: ImageDocument> Document<T> {
    /// Checks `bytes` against `descriptor` (size, then digest), then parses them.
    pub fn parse(descriptor: &Descriptor, bytes: Bytes) -> Result<Self, DocumentError> {
        let digest = || descriptor.digest.clone();
        check(descriptor, &bytes)?;
        let value: T = serde_json::from_slice(&bytes).map_err(|source| DocumentError::Json {
            digest: digest(),
            media_type: descriptor.media_type.clone(),
            source,
        })?;
        if value.schema_version() != 2 {
            let version = value.schema_version();
            return Err(DocumentError::SchemaVersion { digest: digest(), version });
        }
        if let Some(inside) = value.own_media_type()
            && *inside != descriptor.media_type
        {
            return Err(DocumentError::MediaType {
                digest: digest(),
                announced: descriptor.media_type.clone(),
                inside: inside.clone(),
            });
        }
        let layers = value.image_layers();
        if layers > MAX_LAYERS {
            return Err(DocumentError::Layers { digest: digest(), layers });
        }
        Ok(Self { bytes, descriptor: Box::new(descriptor.clone()), value: Box::new(value) })
    }

    /// Writes a new document: compact JSON in field order, maps in key order, so the same value
    /// always gives the same bytes. For documents that corten makes, never for received ones. One that
    /// [`Document::parse`] would refuse for its size or its layers is an error here already.
    pub fn write(media_type: MediaType, value: T) -> Result<Self, serde_json::Error> {
        use serde::ser::Error as _;
        let layers = value.image_layers();
        if layers > MAX_LAYERS {
            let text = format!("it would have {layers} layers; an image may have {MAX_LAYERS}");
            return Err(serde_json::Error::custom(text));
        }
        let bytes = Bytes::from(serde_json::to_vec(&value)?);
        if bytes.len() as u64 > MAX_DOCUMENT {
            let size = bytes.len();
            let text = format!("it would have {size} bytes; a document may have {MAX_DOCUMENT}");
            return Err(serde_json::Error::custom(text));
        }
        let descriptor = Box::new(Descriptor::of(media_type, &bytes));
        Ok(Self { bytes, descriptor, value: Box::new(value) })
    }
}

impl<T> Document<T> {
    /// The exact bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The descriptor the bytes were checked against, as given (platform and annotations too).
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Address of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// The parsed view.
    pub fn value(&self) -> &T {
        &self.value
    }
}

/// The view of a document whose type says nothing to corten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opaque;

impl Document<Opaque> {
    /// Checks `bytes` against `descriptor` and looks no further.
    pub fn opaque(descriptor: &Descriptor, bytes: Bytes) -> Result<Self, DocumentError> {
        check(descriptor, &bytes)?;
        Ok(Self { bytes, descriptor: Box::new(descriptor.clone()), value: Box::new(Opaque) })
    }
}

/// Size first, then digest, before anything looks inside.
fn check(descriptor: &Descriptor, bytes: &Bytes) -> Result<(), DocumentError> {
    let size = descriptor.size.max(bytes.len() as u64);
    if size > MAX_DOCUMENT {
        return Err(DocumentError::TooLarge { digest: descriptor.digest.clone(), size });
    }
    let mut verifier = Verifier::new(descriptor)?;
    verifier.update(bytes)?;
    Ok(verifier.finish()?)
}

/// A manifest or an index, whichever the descriptor says.
#[derive(Clone, Debug)]
pub enum AnyDocument {
    /// An image or an artifact.
    Manifest(Document<Manifest>),
    /// A list of manifests.
    Index(Document<Index>),
    /// Bytes of a type that corten carries without looking inside.
    Other(Document<Opaque>),
}

impl AnyDocument {
    /// Checks and parses by the descriptor's media type.
    pub fn parse(descriptor: &Descriptor, bytes: Bytes) -> Result<Self, DocumentError> {
        if Manifest::accepts(&descriptor.media_type) {
            Document::parse(descriptor, bytes).map(Self::Manifest)
        } else if Index::accepts(&descriptor.media_type) {
            Document::parse(descriptor, bytes).map(Self::Index)
        } else {
            Document::opaque(descriptor, bytes).map(Self::Other)
        }
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Manifest(document) => document.bytes(),
            Self::Index(document) => document.bytes(),
            Self::Other(document) => document.bytes(),
        }
    }

    /// The descriptor the bytes were checked against.
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Manifest(document) => document.descriptor(),
            Self::Index(document) => document.descriptor(),
            Self::Other(document) => document.descriptor(),
        }
    }

    /// What this document refers to, if anything.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(document) => document.value().subject.as_ref(),
            Self::Index(document) => document.value().subject.as_ref(),
            Self::Other(_) => None,
        }
    }
}

impl ImageDocument for ImageConfig {
    fn schema_version(&self) -> u32 {
        2
    }

    fn own_media_type(&self) -> Option<&MediaType> {
        None
    }

    fn accepts(media_type: &MediaType) -> bool {
        media_type.is_config()
    }
}
