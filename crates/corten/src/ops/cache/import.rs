//! Caches elsewhere, as a build asks them: their configs are read when it begins, their layers when it needs them.

use std::sync::Arc;

use corten_build::{BuildEvent, BuiltLayer, Imports};
use corten_spec::AnyDocument;
use corten_store::{Kind, LayoutStore, Progress, Store, StoreError, read_document, read_small};
use tokio::runtime::Handle;

use super::document::{MAX_CONFIG, ReadCache, is_cache, read};
use super::places::CachePlace;
use crate::ops::BuildTold;
use crate::{Context, Failure};

/// Caches elsewhere.
pub(in crate::ops) struct Imported {
    runtime: Handle,
    store: LayoutStore,
    caches: Vec<(Arc<dyn Store>, ReadCache)>,
    progress: Arc<dyn Progress>,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported").field("caches", &self.caches.len()).finish_non_exhaustive()
    }
}

/// Reads what caches say. One that cannot be read is told of, and the build goes on without it.
pub(in crate::ops) async fn import(
    context: &Context,
    places: &[CachePlace],
    told: &BuildTold,
) -> Result<Option<Arc<Imported>>, Failure> {
    if places.is_empty() {
        return Ok(None);
    }
    let mut caches = Vec::new();
    for place in places {
        match opened(context, place).await {
            Ok(cache) => caches.push(cache),
            Err(error) => {
                let why = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                let text = format!("--cache-from {}: {why}; going on without it", place.shown());
                told.hear(BuildEvent::Notice { text: &text });
            }
        }
    }
    let (runtime, progress) = (Handle::current(), context.progress());
    Ok(Some(Arc::new(Imported { runtime, store: context.store()?, caches, progress })))
}

async fn opened(
    context: &Context,
    place: &CachePlace,
) -> Result<(Arc<dyn Store>, ReadCache), Failure> {
    let store = place.source(context)?;
    let resolved = store.resolve(&place.selector()).await?;
    let document = match resolved.document {
        Some(document) => document,
        None => read_document(store.as_ref(), &resolved.descriptor).await?,
    };
    let wrong = |why: String| Failure::Usage(why);
    let manifest = match &document {
        AnyDocument::Manifest(manifest) if is_cache(manifest.value()) => manifest.value(),
        _ => return Err(wrong("it is no cache that corten wrote".to_owned())),
    };
    let limit = ("the config of a cache", MAX_CONFIG);
    let config = read_small(store.as_ref(), Kind::Blob, &manifest.config, limit).await?;
    let cache = read(manifest, &config).map_err(wrong)?;
    Ok((store, cache))
}

impl Imported {
    fn find(&self, pick: impl Fn(&ReadCache) -> Option<&BuiltLayer>) -> Option<BuiltLayer> {
        self.caches.iter().find_map(|(_, cache)| pick(cache)).cloned()
    }

    /// Where a layer is.
    pub(super) fn holders(&self, layer: &BuiltLayer) -> impl Iterator<Item = &Arc<dyn Store>> {
        let digest = layer.descriptor.digest.clone();
        let has = move |cache: &ReadCache| {
            let mut layers = cache.steps.values().chain(cache.mounts.values());
            layers.any(|own| own.descriptor.digest == digest)
        };
        self.caches.iter().filter(move |(_, cache)| has(cache)).map(|(store, _)| store)
    }
}

impl Imports for Imported {
    fn step(&self, key: &str) -> Option<BuiltLayer> {
        self.find(|cache| cache.steps.get(key))
    }

    fn mount(&self, name: &str) -> Option<BuiltLayer> {
        self.find(|cache| cache.mounts.get(name))
    }

    fn fetch(&self, layer: &BuiltLayer) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut failed: Option<StoreError> = None;
        for from in self.holders(layer) {
            let (from, to) = (from.clone(), Arc::new(self.store.clone()));
            let blobs = vec![layer.descriptor.clone()];
            let copying = corten_store::copy_blobs(from, to, blobs, 1, self.progress.clone());
            match self.runtime.block_on(copying) {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Err("no cache has it".into()),
        }
    }
}
