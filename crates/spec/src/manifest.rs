//! Image manifests (image-spec `manifest.md`), which are artifact manifests too.

use serde::{Deserialize, Serialize};

use crate::descriptor::null_as_default;
use crate::{Annotations, Descriptor, ImageDocument, MediaType};

/// One image for one platform, or one artifact: a config, layers, perhaps a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own type; Docker's manifests always have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact, where the config does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The config; the empty descriptor for an artifact without one.
    pub config: Descriptor,
    /// Layers from the base up, or the blobs of an artifact. The specification asks for one, it
    /// does not require any; absent and empty are the same.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata.
    #[serde(
        default,
        skip_serializing_if = "Annotations::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub annotations: Annotations,
}

impl Manifest {
    /// An OCI manifest of an image.
    pub fn image(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_MANIFEST),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// The type by which a reader knows the artifact: `artifactType`, else the config's type
    /// (`manifest.md`, Guidelines for Artifact Usage).
    pub fn artifact_kind(&self) -> &MediaType {
        self.artifact_type.as_ref().unwrap_or(&self.config.media_type)
    }
}

impl ImageDocument for Manifest {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }

    fn own_media_type(&self) -> Option<&MediaType> {
        self.media_type.as_ref()
    }

    fn accepts(media_type: &MediaType) -> bool {
        media_type.is_manifest()
    }

    fn image_layers(&self) -> usize {
        if self.config.media_type.is_config() { self.layers.len() } else { 0 }
    }
}
