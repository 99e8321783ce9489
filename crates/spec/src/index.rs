//! Image indexes (image-spec `image-index.md`): lists of manifests, by platform or otherwise.

use serde::{Deserialize, Serialize};

use crate::descriptor::null_as_default;
use crate::{Annotations, Descriptor, ImageDocument, MediaType, Platform};

/// A list of manifests and of further indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact the whole index stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// What the index lists; the first match for a platform wins.
    #[serde(deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index refers to.
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

impl Index {
    /// An OCI index of `manifests`.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_INDEX),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// The entry that serves `wanted` best; of equally good ones the first
    /// (`image-index.md`, manifests). Entries without a platform are never selected.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let mut best: Option<(u32, &Descriptor)> = None;
        for entry in &self.manifests {
            let fitness = entry.platform.as_ref().and_then(|have| have.fitness(wanted));
            if let Some(fitness) = fitness
                && best.is_none_or(|(most, _)| fitness > most)
            {
                best = Some((fitness, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }
}

impl ImageDocument for Index {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }

    fn own_media_type(&self) -> Option<&MediaType> {
        self.media_type.as_ref()
    }

    fn accepts(media_type: &MediaType) -> bool {
        media_type.is_index()
    }
}
