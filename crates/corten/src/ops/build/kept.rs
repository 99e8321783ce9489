//! What was built becomes documents in the local store.

use std::any::Any;
use std::sync::Arc;

use corten_build::Built;
use corten_spec::{AnyDocument, Descriptor, Document, Index, Manifest, MediaType, RefName};
use corten_store::Pusher as _;

use super::super::import::{put_config, write};
use super::{BuildReport, BuiltImage};
use crate::{Context, Failure};

/// What was built, in the store and without a name.
pub(super) struct Kept {
    pub(super) report: BuildReport,
    pub(super) document: AnyDocument,
    /// The image of each platform.
    pub(super) entries: Vec<Descriptor>,
    /// Keeps the layers of bases until there is a name.
    pub(super) held: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Writes the documents of what was built: an image, or an index of several.
pub(super) async fn kept(
    context: &Context,
    all: Vec<Built>,
    tags: &[RefName],
    shown: &str,
) -> Result<Kept, Failure> {
    let store = context.store()?;
    let (ran, cached) = all.iter().fold((0, 0), |sum, one| (sum.0 + one.ran, sum.1 + one.cached));
    let (mut images, mut entries, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let mut only = None;
    for built in all {
        let platform = built.config.platform.clone();
        let config = write(shown, MediaType::OCI_CONFIG, built.config)?;
        put_config(&store, &config).await?;
        let layers: Vec<_> = built.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let count = layers.len();
        let manifest = Manifest::image(config.descriptor().clone(), layers);
        let manifest: Document<Manifest> = write(shown, MediaType::OCI_MANIFEST, manifest)?;
        images.push(BuiltImage {
            platform: platform.to_string(),
            digest: manifest.digest().to_string(),
            config: config.digest().to_string(),
            layers: count,
        });
        let mut entry = manifest.descriptor().clone();
        entry.platform = Some(platform);
        entries.push(entry);
        let document = AnyDocument::Manifest(manifest);
        store.push(&document).await?;
        only = Some(document);
        held.extend(built.held);
    }
    let (document, id) = match (only, images.as_slice()) {
        (Some(document), [image]) => (document, image.config.clone()),
        _ => {
            let index: Document<Index> =
                write(shown, MediaType::OCI_INDEX, Index::new(entries.clone()))?;
            let id = index.digest().to_string();
            let document = AnyDocument::Index(index);
            store.push(&document).await?;
            (document, id)
        }
    };
    let report = BuildReport {
        names: tags.iter().map(ToString::to_string).collect(),
        digest: document.descriptor().digest.to_string(),
        config: id,
        images,
        ran,
        cached,
        attestations: Vec::new(),
        outputs: Vec::new(),
        caches: Vec::new(),
    };
    Ok(Kept { report, document, entries, held })
}
