//! The local store: what is in it, under which names, and what can go.

use std::collections::BTreeSet;
use std::time::Duration;

use corten_build::{BuiltLayer, CacheLock};
use corten_spec::{AnyDocument, RefName};
use corten_store::{LayoutStore, Selector, Store, read_document};
use schemars::JsonSchema;
use serde::Serialize;

use crate::place::StoreName;
use crate::{Context, Failure};

/// What the local store holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImagesReport {
    /// Directory of the store.
    pub store: String,
    /// Its images, by name.
    pub images: Vec<LocalImage>,
}

/// One name of the local store.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LocalImage {
    /// The name; absent for an image that lost its name.
    pub name: Option<String>,
    /// Digest of the manifest or index.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Platforms whose images are here.
    pub platforms: Vec<String>,
    /// Bytes of everything that belongs to it and is here, each digest once.
    pub size: u64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Seconds since then.
    pub age_seconds: Option<u64>,
}

/// Deepest nesting of indexes whose content is counted: what [`corten_store::walk`] carries.
const MAX_DEPTH: usize = corten_store::MAX_DEPTH;

/// Lists the images whose name contains `filter`. What is missing or broken below an entry does not
/// count, and hides no other image.
pub async fn images(context: &Context, filter: &str) -> Result<ImagesReport, Failure> {
    let store = context.store()?;
    let mut images = Vec::new();
    for entry in store.entries()? {
        let name = entry.name.as_ref().map(RefName::to_string);
        if !name.as_deref().unwrap_or_default().contains(filter) {
            continue;
        }
        let mut image = LocalImage {
            name,
            digest: entry.descriptor.digest.to_string(),
            media_type: entry.descriptor.media_type.to_string(),
            platforms: Vec::new(),
            size: 0,
            created: None,
            age_seconds: None,
        };
        let mut seen = BTreeSet::new();
        if let Ok(document) = read_document(&store, &entry.descriptor).await {
            Box::pin(add(&store, &document, &mut image, &mut seen, MAX_DEPTH)).await;
        }
        image.platforms.sort();
        image.platforms.dedup();
        image.age_seconds = image.created.as_deref().and_then(|time| context.seconds_since(time));
        images.push(image);
    }
    images.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
    Ok(ImagesReport { store: store.describe(), images })
}

/// Adds what `document` is and points at, `depth` indexes down; what is not here does not count.
async fn add(
    store: &LayoutStore,
    document: &AnyDocument,
    image: &mut LocalImage,
    seen: &mut BTreeSet<corten_spec::Digest>,
    depth: usize,
) {
    if !seen.insert(document.descriptor().digest.clone()) {
        return;
    }
    // Sizes are the maker's word, and two of them may be more than a number holds.
    image.size = image.size.saturating_add(document.descriptor().size);
    match document {
        AnyDocument::Manifest(manifest) => {
            let value = manifest.value();
            for blob in std::iter::once(&value.config).chain(&value.layers) {
                if seen.insert(blob.digest.clone()) {
                    image.size = image.size.saturating_add(blob.size);
                }
            }
            if value.config.media_type.is_config()
                && let Ok(config) = super::inspect::read_config(store, &value.config).await
            {
                image.platforms.push(config.value().platform.to_string());
                image.created = image.created.take().or_else(|| config.value().created.clone());
            }
        }
        AnyDocument::Index(index) if depth > 1 => {
            for child in &index.value().manifests {
                if seen.contains(&child.digest) {
                    continue;
                }
                if let Ok(document) = read_document(store, child).await {
                    Box::pin(add(store, &document, image, seen, depth - 1)).await;
                }
            }
        }
        _ => {}
    }
}

/// A name that was set.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TagReport {
    /// The new name.
    pub name: String,
    /// Digest it points at.
    pub digest: String,
}

/// Makes `name` point at `image`, which is in the local store.
pub async fn tag(
    context: &Context,
    image: &StoreName,
    name: &RefName,
) -> Result<TagReport, Failure> {
    use corten_store::{Resolver, Tagger};
    let store = context.store()?;
    let resolved = store.resolve(&image.selector()?).await?;
    let document = read_document(&store, &resolved.descriptor).await?;
    store.tag(name, &document).await?;
    Ok(TagReport { name: name.to_string(), digest: resolved.descriptor.digest.to_string() })
}

/// Names that were taken away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RemoveReport {
    /// The names (or digests, for images without one).
    pub removed: Vec<String>,
}

/// Takes names away; a digest takes away every name that points at it. The content stays until
/// [`gc`].
pub async fn remove(context: &Context, images: &[StoreName]) -> Result<RemoveReport, Failure> {
    use corten_store::Tagger;
    let store = context.store()?;
    let mut removed = Vec::new();
    for image in images {
        match image.selector()? {
            Selector::Name(name) => {
                store.untag(&name).await?;
                removed.push(name.to_string());
            }
            Selector::Digest(digest) => {
                let names = store.forget(&digest)?;
                removed.extend(names.iter().map(RefName::to_string));
                removed.push(digest.to_string());
            }
        }
    }
    Ok(RemoveReport { removed })
}

/// What was deleted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GcReport {
    /// Digests of manifests and blobs.
    pub deleted: Vec<String>,
    /// Parts of transfers that nobody went on with.
    pub staged: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Manifests and blobs that images need.
    pub kept: u64,
    /// Manifests and blobs that no image needs and that are younger than the grace.
    pub young: u64,
    /// Unpacked layers and indexes over them.
    pub unpacked: u64,
    /// Containers that were being made, or to be removed, when something killed their maker.
    pub containers: u64,
}

/// Deletes what no name needs and what is older than `grace`.
pub async fn gc(context: &Context, grace: Duration) -> Result<GcReport, Failure> {
    let (store, now) = (context.store()?, context.now());
    let snapshots = context.snapshots_there()?;
    let settled = snapshots.clone();
    let from = store.clone();
    let drafts = super::steps::drafted_layers(&store)?;
    let more: Vec<_> =
        drafts.iter().flatten().map(|layer| layer.descriptor.digest.clone()).collect();
    let built = store.path().join(super::build::BUILD);
    let work = move || {
        // Builds find no layer meanwhile that goes away.
        let cache = CacheLock::take(&built).map_err(clearing(&built))?;
        settled.map_or(Ok(()), |snapshots| snapshots.settle())?;
        let collected = from.collect_beside(grace, now, &more).map_err(Failure::from)?;
        if let Some(cache) = cache {
            cache.forget_lost(&from).map_err(clearing(&built))?;
            cache.forget_origins().map_err(clearing(&built))?;
        }
        Ok(collected)
    };
    let collected = super::layers::on_thread("gc", work).await?;
    let mut keep = super::stacks::stacks(&store).await?;
    let stack = |draft: Vec<_>| draft.into_iter().map(|layer: BuiltLayer| layer.diff_id).collect();
    keep.extend(drafts.into_iter().map(stack));
    keep.extend(super::mount::mounted_stacks(context)?);
    let containers = super::containers::collect(context, grace).await?;
    let there = context.containers_there()?;
    super::volume::sweep(context)?;
    let built = store.path().join(super::build::BUILD);
    super::build::forget_fetched(&built, grace, now)?;
    let work = move || match snapshots {
        Some(snapshots) => snapshots.collect(
            || {
                keep.extend(super::containers::stacks_of(there.as_ref())?);
                Ok(keep)
            },
            grace,
            now,
        ),
        None => Ok(corten_bundle::Swept::default()),
    };
    let swept = super::layers::on_thread("gc", work).await?;
    Ok(GcReport {
        deleted: collected.deleted.iter().map(ToString::to_string).collect(),
        staged: collected.staged as u64 + swept.staged,
        bytes: collected.freed.saturating_add(swept.bytes),
        kept: collected.reachable as u64,
        young: collected.young as u64,
        unpacked: swept.forms,
        containers,
    })
}

fn clearing(place: &std::path::Path) -> impl FnOnce(std::io::Error) -> Failure {
    let object = place.display().to_string();
    move |source| Failure::Io { object, action: "clearing the cache of builds", source }
}
