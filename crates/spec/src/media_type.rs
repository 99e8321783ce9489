//! Media types (image-spec `media-types.md`) and what follows from them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of some content; any text is carried, known ones have a meaning.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType { $($(#[$doc])* pub const $name: MediaType = MediaType(Cow::Borrowed($text));)* }
    };
}

known! {
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image config.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// Layer: tar.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// Layer: tar, gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Layer: tar, zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Layer not to be distributed: tar (deprecated).
    OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// Layer not to be distributed: tar, gzip (deprecated).
    OCI_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// Layer not to be distributed: tar, zstd (deprecated).
    OCI_FOREIGN_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    /// The two bytes `{}`.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// The header file of a layout.
    OCI_LAYOUT_HEADER = "application/vnd.oci.layout.header.v1+json";
    /// A descriptor on its own.
    OCI_DESCRIPTOR = "application/vnd.oci.descriptor.v1+json";
    /// Docker manifest list, the twin of the OCI index.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker manifest v2.2, the twin of the OCI manifest.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker image config, the twin of the OCI config.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// Docker layer: tar.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer: tar, gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer: tar, zstd.
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker layer not to be distributed: tar.
    DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// Docker layer not to be distributed: tar, gzip.
    DOCKER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}

impl MediaType {
    /// Takes any text; `is_well_formed` tells whether it keeps RFC 6838 section 4.2.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 6838 section 4.2: `type/subtype`, each 1 to 127 restricted-name characters.
    pub fn is_well_formed(&self) -> bool {
        let Some((kind, subtype)) = self.0.split_once('/') else {
            return false;
        };
        [kind, subtype].into_iter().all(is_restricted_name)
    }

    /// An image manifest, OCI or Docker v2.2.
    pub fn is_manifest(&self) -> bool {
        *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST
    }

    /// An index, OCI or Docker.
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }

    /// An image config, OCI or Docker.
    pub fn is_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// A layer whose bytes should not be pushed (deprecated, still met).
    pub fn is_non_distributable(&self) -> bool {
        self.extends(&Self::OCI_FOREIGN, '+') || self.extends(&Self::DOCKER_FOREIGN, '.')
    }

    /// A filesystem changeset, whatever its compression.
    pub fn is_layer(&self) -> bool {
        self.extends(&Self::OCI_LAYER, '+')
            || self.extends(&Self::DOCKER_LAYER, '.')
            || self.is_non_distributable()
    }

    /// This very type, or this type with a suffix after `mark`, as `+gzip`.
    fn extends(&self, plain: &MediaType, mark: char) -> bool {
        self.0
            .strip_prefix(plain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(mark))
    }
}

fn is_restricted_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    first && name.len() <= 127 && bytes.all(allowed)
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
