//! The vocabulary of container images: the words every other crate speaks.
//!
//! Everything here is pure: bytes in, values out. No files, no network, no clock, no Docker formats
//! beyond the media types that `media-types.md` of the OCI image specification lists as twins.
//!
//! The rule that shapes the crate: **bytes are the truth**. A manifest, index or config that came
//! from outside is kept as the exact bytes received ([`Document`]); its digest is the digest of
//! those bytes, and nothing is ever serialised again to compute one.

pub mod annotation;
mod config;
mod descriptor;
mod digest;
mod document;
mod index;
mod manifest;
mod media_type;
mod name;
mod owner;
mod platform;
mod reference;
pub mod validate;
mod verifier;

pub use config::{ContainerConfig, History, ImageConfig, KeySet, RootFs};
pub use descriptor::{
    Annotations, Descriptor, EMPTY_JSON, EmbeddedError, MAX_EMBEDDED, empty_descriptor,
};
pub use digest::{Algorithm, ChainId, DiffId, Digest, DigestError, Hasher};
pub use document::{
    AnyDocument, Document, DocumentError, ImageDocument, MAX_DOCUMENT, MAX_LAYERS, Opaque,
};
pub use index::Index;
pub use manifest::Manifest;
pub use media_type::MediaType;
pub use name::{Location, Name, RefName, Tag};
pub use owner::{owner_id, parse_owner_id};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
pub use verifier::{Mismatch, Verifier};
