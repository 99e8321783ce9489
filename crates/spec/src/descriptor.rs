//! Descriptors: typed pointers to content (image-spec `descriptor.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Digest, DigestError, MediaType, Mismatch, Platform, Verifier};

/// Annotations, in key order so that writing them is deterministic.
pub type Annotations = BTreeMap<String, String>;

/// A typed pointer to content: what it is, how large, and its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Type of the content pointed at.
    pub media_type: MediaType,
    /// Address of the content.
    pub digest: Digest,
    /// Size of the content in bytes: an int64 that is not negative.
    #[serde(deserialize_with = "int64_size")]
    pub size: u64,
    /// Other places the content may be fetched from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
    /// Arbitrary metadata.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub annotations: Annotations,
    /// The content itself, base64 as received (RFC 4648 section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Type of the artifact when the content is a manifest of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// What the content runs on; only in an index (`image-index.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor with nothing but the three required properties.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: Annotations::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }

    /// The sha256 descriptor of `bytes`.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// The content that stands in `data`, checked against size and digest; `None` without `data`.
    ///
    /// At most [`MAX_EMBEDDED`] bytes are decoded (`descriptor.md`, Embedded Content).
    pub fn embedded(&self) -> Result<Option<Bytes>, EmbeddedError> {
        let Some(data) = &self.data else {
            return Ok(None);
        };
        let digest = || self.digest.clone();
        if self.size > MAX_EMBEDDED || data.len() as u64 > MAX_EMBEDDED_TEXT {
            return Err(EmbeddedError::TooLarge { digest: digest() });
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|source| EmbeddedError::Base64 { digest: digest(), source })?;
        let mut verifier = Verifier::new(self)?;
        verifier.update(&bytes)?;
        verifier.finish()?;
        Ok(Some(Bytes::from(bytes)))
    }

    /// The same pointer without annotations, platform, data or urls.
    pub fn bare(&self) -> Self {
        Self::new(self.media_type.clone(), self.digest.clone(), self.size)
    }
}

/// Most bytes of content that are taken from a descriptor's `data`.
pub const MAX_EMBEDDED: u64 = 4 * 1024 * 1024;

/// Length in base64 of [`MAX_EMBEDDED`] bytes.
const MAX_EMBEDDED_TEXT: u64 = MAX_EMBEDDED.div_ceil(3) * 4;

/// Why the content embedded in a descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// More than [`MAX_EMBEDDED`] bytes.
    #[error("the data embedded for {digest} has more than {MAX_EMBEDDED} bytes")]
    TooLarge {
        /// Digest of the content.
        digest: Digest,
    },
    /// Not base64 with the standard alphabet and padding (RFC 4648 section 4).
    #[error("the data embedded for {digest} is not base64")]
    Base64 {
        /// Digest of the content.
        digest: Digest,
        /// Where the text breaks off.
        source: base64::DecodeError,
    },
    /// The digest cannot be computed here.
    #[error(transparent)]
    Algorithm(#[from] DigestError),
    /// Something else is embedded than the descriptor points at.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// The content of the empty descriptor (`manifest.md`, Guidance for an Empty Descriptor).
pub const EMPTY_JSON: &[u8] = b"{}";

/// The empty descriptor, with its content embedded.
pub fn empty_descriptor() -> Descriptor {
    let mut descriptor = Descriptor::of(MediaType::OCI_EMPTY, EMPTY_JSON);
    descriptor.data = Some("e30=".to_owned());
    descriptor
}

/// `null` and absence mean the same for the optional collections of the specification.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A size is an int64 and not negative (`descriptor.md`, size).
fn int64_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(serde::de::Error::custom("size is above the largest int64"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
