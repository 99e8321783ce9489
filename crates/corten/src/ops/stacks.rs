//! Which stacks of layers the images of the local store have: what is kept ready of others may go.

use std::collections::{BTreeMap, BTreeSet};

use corten_spec::{AnyDocument, Descriptor, DiffId, Digest};
use corten_store::{Fetcher as _, Kind, LayoutStore, MAX_DEPTH, read_document};

use super::inspect::read_config;
use crate::Failure;

/// The stacks of every image that an entry of the store leads to. What is not here does not count.
pub(super) async fn stacks(store: &LayoutStore) -> Result<Vec<Vec<DiffId>>, Failure> {
    let found: BTreeSet<_> = images(store).await?.into_iter().map(|image| image.diff_ids).collect();
    Ok(found.into_iter().collect())
}

/// The packed layers of the same images that are here, by what they unpack to.
pub(super) async fn layers(store: &LayoutStore) -> Result<BTreeMap<DiffId, Descriptor>, Failure> {
    let mut layers = BTreeMap::new();
    for image in images(store).await? {
        for (diff_id, layer) in image.diff_ids.into_iter().zip(image.layers) {
            if !layers.contains_key(&diff_id) && store.exists(Kind::Blob, &layer).await? {
                layers.insert(diff_id, layer);
            }
        }
    }
    Ok(layers)
}

/// What one image is made of, the base first.
struct Image {
    diff_ids: Vec<DiffId>,
    layers: Vec<Descriptor>,
}

async fn images(store: &LayoutStore) -> Result<Vec<Image>, Failure> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut waiting: Vec<_> =
        store.entries()?.into_iter().map(|entry| (entry.descriptor, MAX_DEPTH)).collect();
    while let Some((descriptor, depth)) = waiting.pop() {
        if depth == 0 || !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        match read_document(store, &descriptor).await {
            Ok(AnyDocument::Manifest(manifest))
                if manifest.value().config.media_type.is_config() =>
            {
                if let Ok(config) = read_config(store, &manifest.value().config).await {
                    let diff_ids = config.value().rootfs.diff_ids.clone();
                    found.push(Image { diff_ids, layers: manifest.value().layers.clone() });
                }
            }
            Ok(AnyDocument::Index(index)) => {
                let children = index.value().manifests.iter().cloned();
                waiting.extend(children.map(|child| (child, depth - 1)));
            }
            _ => {}
        }
    }
    Ok(found)
}
