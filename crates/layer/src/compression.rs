//! How layers are compressed, and what tells it.

use std::fmt;

use corten_spec::MediaType;
use serde::{Deserialize, Serialize};

/// The compression of a layer (image-spec `layer.md`, media types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// zstd, RFC 8878.
    Zstd,
}

/// Bytes that [`Compression::detect`] needs at the most.
pub const MAGIC_BYTES: usize = 4;

impl Compression {
    /// What the first bytes of a stream say. A skippable zstd frame counts as zstd; everything
    /// unknown is taken for a plain tar.
    pub fn detect(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What a media type announces; `None` where it is no layer or its compression is unknown.
    pub fn of_media_type(media_type: &MediaType) -> Option<Self> {
        if !media_type.is_layer() {
            return None;
        }
        let text = media_type.as_str();
        match text.rsplit_once(".tar").map(|(_, suffix)| suffix) {
            Some("") => Some(Self::None),
            Some("+gzip" | ".gzip") => Some(Self::Gzip),
            Some("+zstd" | ".zstd") => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The OCI media type of a layer so compressed.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::OCI_LAYER,
            Self::Gzip => MediaType::OCI_LAYER_GZIP,
            Self::Zstd => MediaType::OCI_LAYER_ZSTD,
        }
    }

    /// The name people use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            other => other.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_tell_the_compression() {
        let of = |media_type: &MediaType| Compression::of_media_type(media_type);
        assert_eq!(of(&MediaType::OCI_LAYER), Some(Compression::None));
        assert_eq!(of(&MediaType::DOCKER_LAYER_GZIP), Some(Compression::Gzip));
        assert_eq!(of(&MediaType::OCI_FOREIGN_ZSTD), Some(Compression::Zstd));
        assert_eq!(of(&MediaType::DOCKER_FOREIGN_GZIP), Some(Compression::Gzip));
        assert_eq!(of(&MediaType::OCI_CONFIG), None);
        assert_eq!(of(&MediaType::new("application/vnd.oci.image.layer.v1.tar+xz")), None);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(of(&compression.media_type()), Some(compression));
        }
    }
}
