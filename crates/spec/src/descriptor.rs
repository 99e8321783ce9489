//! Descriptors: typed pointers to content (image-spec `descriptor.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Digest, MediaType, Platform};

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
    /// Size of the content in bytes; never negative.
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

    /// The same pointer without annotations, platform, data or urls.
    pub fn bare(&self) -> Self {
        Self::new(self.media_type.clone(), self.digest.clone(), self.size)
    }
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
