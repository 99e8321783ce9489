//! Which stacks of layers the images of the local store have: what is kept ready of others may go.

use std::collections::BTreeSet;

use corten_spec::{AnyDocument, DiffId, Digest};
use corten_store::{LayoutStore, MAX_DEPTH, read_document};

use super::inspect::read_config;
use crate::Failure;

/// The stacks of every image that an entry of the store leads to. What is not here does not count.
pub(super) async fn stacks(store: &LayoutStore) -> Result<Vec<Vec<DiffId>>, Failure> {
    let mut found = BTreeSet::new();
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
                    found.insert(config.value().rootfs.diff_ids.clone());
                }
            }
            Ok(AnyDocument::Index(index)) => {
                let children = index.value().manifests.iter().cloned();
                waiting.extend(children.map(|child| (child, depth - 1)));
            }
            _ => {}
        }
    }
    Ok(found.into_iter().collect())
}
