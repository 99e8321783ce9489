//! A cache is sent: layers first, then what says which is which, the name last. Whoever is killed meanwhile leaves
//! the cache that was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use corten_build::{BuildEvent, Built, BuiltLayer, StepResult, pack_mount};
use corten_spec::{AnyDocument, Descriptor, Digest, MediaType};
use corten_store::{Begun, LayoutStore, Store};

use super::super::build::{BUILD, BuildTold};
use super::super::import::write;
use super::super::layers::on_thread;
use super::document::{SentMount, written};
use super::import::Imported;
use super::places::{CachePlace, CacheSteps, CacheTo};
use crate::{Context, Failure};

/// What was built, as far as caches know it.
#[derive(Clone, Default)]
pub(in crate::ops) struct Sendable {
    steps: Vec<StepResult>,
    mounts: BTreeMap<String, String>,
    image: BTreeSet<Digest>,
}

impl Sendable {
    /// Of the builds for all platforms.
    pub(in crate::ops) fn of<'a>(all: impl IntoIterator<Item = &'a Built>) -> Self {
        let mut sendable = Self::default();
        for built in all {
            sendable.steps.extend(built.steps.iter().cloned());
            sendable.mounts.extend(built.mounts.clone());
            sendable.image.extend(built.layers.iter().map(|layer| layer.descriptor.digest.clone()));
        }
        sendable.steps.sort_by(|a, b| a.key.cmp(&b.key));
        sendable.steps.dedup_by(|a, b| a.key == b.key);
        sendable
    }
}

/// Sends caches; where they are then.
pub(in crate::ops) async fn export(
    context: &Context,
    all: &[CacheTo],
    what: &Sendable,
    (imported, told): (Option<&Arc<Imported>>, &BuildTold),
) -> Result<Vec<String>, Failure> {
    let mut sent = Vec::new();
    for to in all {
        match one(context, to, what, (imported, told)).await {
            Ok(place) => sent.push(place),
            Err(error) if to.ignore_error => {
                let text = format!("--cache-to {}: {error}", to.place.shown());
                told.hear(BuildEvent::Notice { text: &text });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

async fn one(
    context: &Context,
    to: &CacheTo,
    what: &Sendable,
    (imported, told): (Option<&Arc<Imported>>, &BuildTold),
) -> Result<String, Failure> {
    let (target, store) = (to.place.target(context)?, context.store()?);
    let mut steps = what.steps.clone();
    if to.steps == CacheSteps::OfImage {
        steps.retain(|step| what.image.contains(&step.layer.descriptor.digest));
    }
    let mut groups = Groups::default();
    steps.retain(|step| groups.add(&step.layer, &store, imported));
    let mounts = mounts(context, to, what, told).await?;
    for mount in &mounts {
        groups.local.push(mount.layer.descriptor.clone());
    }
    let Groups { local, elsewhere, .. } = groups;
    let here: Arc<dyn Store> = Arc::new(store.clone());
    for (from, blobs) in elsewhere.into_iter().chain([(here, local)]) {
        let (jobs, progress) = (context.jobs(), context.progress());
        corten_store::copy_blobs(from, target.clone(), blobs, jobs, progress).await?;
    }
    let shown = to.place.shown();
    let (manifest, config, bytes) = written(&steps, &mounts).map_err(|source| Failure::Io {
        object: shown.clone(),
        action: "writing its config",
        source: source.into(),
    })?;
    put(target.as_ref(), &config, bytes).await?;
    let manifest = AnyDocument::Manifest(write(&shown, MediaType::OCI_MANIFEST, manifest)?);
    target.push(&manifest).await?;
    target.tag(&to.place.name(), &manifest).await?;
    cleared(context, to, mounts).await?;
    Ok(shown)
}

/// Layers by where they are.
#[derive(Default)]
struct Groups {
    seen: BTreeMap<Digest, bool>,
    local: Vec<Descriptor>,
    elsewhere: Vec<(Arc<dyn Store>, Vec<Descriptor>)>,
}

impl Groups {
    /// Adds a layer; whether it is anywhere.
    fn add(
        &mut self,
        layer: &BuiltLayer,
        store: &LayoutStore,
        imported: Option<&Arc<Imported>>,
    ) -> bool {
        let digest = &layer.descriptor.digest;
        if let Some(is_there) = self.seen.get(digest) {
            return *is_there;
        }
        let descriptor = layer.descriptor.bare();
        let is_there = if store.blob_file(digest).is_ok() {
            self.local.push(descriptor);
            true
        } else if let Some(from) = imported.and_then(|imported| imported.holders(layer).next()) {
            // From registry to registry it is mounted where that can be.
            self.elsewhere.push((from.clone(), vec![descriptor]));
            true
        } else {
            false
        };
        self.seen.insert(digest.clone(), is_there);
        is_there
    }
}

/// Packs the mounts that travel. One that a step uses now is told of and left out.
async fn mounts(
    context: &Context,
    to: &CacheTo,
    what: &Sendable,
    told: &BuildTold,
) -> Result<Vec<SentMount>, Failure> {
    let mut sent = Vec::new();
    for (name, id) in what.mounts.iter().filter(|(_, id)| to.mounts.takes(id)) {
        let store = context.store()?;
        let (place, mount) = (store.path().join(BUILD), name.clone());
        let packed = on_thread("a cache mount", move || {
            let wrong = |error: corten_build::StepError| Failure::Io {
                object: "a cache mount".to_owned(),
                action: "packing",
                source: std::io::Error::other(error),
            };
            let Some((layer, staged)) =
                pack_mount(&place, &mount, store.stage()?).map_err(wrong)?
            else {
                return Ok(None);
            };
            staged.publish(&layer.descriptor)?;
            Ok(Some(layer))
        });
        match packed.await? {
            Some(layer) => sent.push(SentMount { name: name.clone(), id: id.clone(), layer }),
            None => {
                let text = format!("the cache mount {id} is not sent: it is in use or not here");
                told.hear(BuildEvent::Notice { text: &text });
            }
        }
    }
    Ok(sent)
}

async fn put(target: &dyn Store, blob: &Descriptor, bytes: Bytes) -> Result<(), Failure> {
    if let Begun::Ingest(mut ingest) = target.begin(blob, None).await? {
        let from = usize::try_from(ingest.resume().await?).unwrap_or(usize::MAX);
        let rest = bytes.slice(from.min(bytes.len())..);
        if !rest.is_empty() {
            ingest.append(rest).await?;
        }
        ingest.commit().await?;
    }
    Ok(())
}

/// Removes what only served to send: the packed mounts here, and what the layout there had of the cache before.
async fn cleared(context: &Context, to: &CacheTo, mounts: Vec<SentMount>) -> Result<(), Failure> {
    let store = context.store()?;
    let layout = match &to.place {
        CachePlace::Layout(path, _) => Some(path.clone()),
        CachePlace::Registry(_) => None,
    };
    on_thread("the cache", move || {
        let now = std::time::Duration::from_nanos(crate::context::clock().0);
        let now = std::time::SystemTime::UNIX_EPOCH + now;
        let packed: Vec<Digest> =
            mounts.into_iter().map(|mount| mount.layer.descriptor.digest).collect();
        if !packed.is_empty() {
            store.discard(&packed, now, &[])?;
        }
        if let Some(path) = layout {
            LayoutStore::open(path)?.collect(std::time::Duration::ZERO, now)?;
        }
        Ok(())
    })
    .await
}
