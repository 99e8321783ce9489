//! Choosing by platform: which of the manifests that an index lists serves best.

use std::collections::HashSet;

use corten_spec::{AnyDocument, Descriptor, Digest, Document, ImageConfig, MAX_DOCUMENT, Platform};

use crate::retry::retry;
use crate::walk::{Budget, MAX_DEPTH, too_deep};
use crate::{Kind, Selector, Store, StoreError, read_document, read_small};

/// How many manifests whose entry names no platform are asked for the one in their config.
const MAX_CONFIGS: usize = 64;
/// The annotation by which BuildKit ties an attestation to the manifest it speaks of.
const ATTESTED_DIGEST: &str = "vnd.docker.reference.digest";

/// Which platforms of an image are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// Every one.
    #[default]
    All,
    /// The best match for each of these. The index stays as it is, byte for byte, and what it
    /// lists beyond them is left out (a sparse index).
    Some(Vec<Platform>),
    /// The best match for this one, alone, without the index.
    One(Platform),
}

/// The document that `selector` picks, verified.
pub async fn resolve_document(
    store: &dyn Store,
    selector: &Selector,
) -> Result<AnyDocument, StoreError> {
    let resolved = retry(|| store.resolve(selector)).await?;
    match resolved.document {
        Some(document) => Ok(document),
        None => retry(|| read_document(store, &resolved.descriptor)).await,
    }
}

/// The manifest below `root` that serves `wanted` best, through nested indexes; among equals the
/// first wins (image-spec `image-index.md`). Entries that name no platform are asked for their
/// config when no other fits. A root that is a manifest itself is the answer when its config fits,
/// or has no platform. Fails with [`StoreError::NoPlatform`], which lists what there is.
pub async fn select(
    store: &dyn Store,
    root: &AnyDocument,
    wanted: &Platform,
) -> Result<Descriptor, StoreError> {
    let mut offers = Offers::of(store, root).await?;
    let place = offers.best(store, wanted).await?;
    Ok(offers.list.swap_remove(place).descriptor)
}

/// The digests to copy from below `root` so that every one of `wanted` is served: the chosen
/// manifests, their attestations, and the indexes that lead there.
pub(crate) async fn choose(
    store: &dyn Store,
    root: &AnyDocument,
    wanted: &[Platform],
) -> Result<HashSet<Digest>, StoreError> {
    let mut offers = Offers::of(store, root).await?;
    let mut places = HashSet::new();
    for platform in wanted {
        places.insert(offers.best(store, platform).await?);
    }
    let digest =
        |place: &usize| offers.list.get(*place).map(|offer| offer.descriptor.digest.as_str());
    let chosen: HashSet<&str> = places.iter().filter_map(digest).collect();
    let attests = |offer: &Offer| {
        let of = offer.descriptor.annotations.get(ATTESTED_DIGEST);
        of.is_some_and(|digest| chosen.contains(digest.as_str()))
    };
    let mut digests = HashSet::new();
    for (place, offer) in offers.list.iter().enumerate() {
        if places.contains(&place) || attests(offer) {
            digests.extend(offer.path.iter().cloned());
            digests.insert(offer.descriptor.digest.clone());
        }
    }
    Ok(digests)
}

struct Offer {
    descriptor: Descriptor,
    /// The nested indexes that lead to it, without the root.
    path: Vec<Digest>,
    platform: Option<Platform>,
}

struct Offers {
    object: String,
    place: String,
    is_single: bool,
    list: Vec<Offer>,
    /// Whether the configs of those without a platform were read.
    asked: bool,
}

impl Offers {
    async fn of(store: &dyn Store, root: &AnyDocument) -> Result<Self, StoreError> {
        let descriptor = root.descriptor();
        let mut offers = Self {
            object: descriptor.digest.to_string(),
            place: store.describe(),
            is_single: !matches!(root, AnyDocument::Index(_)),
            list: Vec::new(),
            asked: false,
        };
        if offers.is_single {
            let platform = platform_of(store, root).await?;
            let (descriptor, path) = (descriptor.clone(), Vec::new());
            offers.list.push(Offer { descriptor, path, platform });
        } else {
            offers.gather(store, root.clone()).await?;
        }
        Ok(offers)
    }

    /// Lists the leaves of an index in their order, nested ones where their index stands.
    async fn gather(&mut self, store: &dyn Store, root: AnyDocument) -> Result<(), StoreError> {
        let mut budget = Budget::new(self.place.clone());
        let mut seen = HashSet::from([root.descriptor().digest.clone()]);
        let mut stack: Vec<(Descriptor, Vec<Digest>)> = Vec::new();
        push_listed(&mut stack, &root, &[]);
        while let Some((descriptor, path)) = stack.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            if !descriptor.media_type.is_index() {
                let platform = descriptor.platform.clone();
                self.list.push(Offer { descriptor, path, platform });
                continue;
            }
            // The root above it and what it lists below it count too.
            if path.len() + 3 > MAX_DEPTH {
                return Err(too_deep(&self.place, &descriptor.digest));
            }
            budget.take(&descriptor)?;
            let index = retry(|| read_document(store, &descriptor)).await?;
            let path = [path.as_slice(), &[descriptor.digest]].concat();
            push_listed(&mut stack, &index, &path);
        }
        Ok(())
    }

    async fn best(&mut self, store: &dyn Store, wanted: &Platform) -> Result<usize, StoreError> {
        if let Some(place) = self.fittest(wanted) {
            return Ok(place);
        }
        if !self.asked && !self.is_single {
            self.asked = true;
            self.ask_configs(store).await?;
            if let Some(place) = self.fittest(wanted) {
                return Ok(place);
            }
        }
        let single_without = self.is_single && self.list.iter().all(|o| o.platform.is_none());
        if single_without && !self.list.is_empty() {
            return Ok(0);
        }
        let known = |platform: &&Platform| platform.os != "unknown";
        Err(StoreError::NoPlatform {
            object: self.object.clone(),
            wanted: Box::new(wanted.clone()),
            available: self
                .list
                .iter()
                .filter_map(|o| o.platform.as_ref())
                .filter(known)
                .cloned()
                .collect(),
        })
    }

    fn fittest(&self, wanted: &Platform) -> Option<usize> {
        let fitness = |offer: &Offer| offer.platform.as_ref()?.fitness(wanted);
        let mut best: Option<(u32, usize)> = None;
        for (place, offer) in self.list.iter().enumerate() {
            if let Some(fitness) = fitness(offer)
                && best.is_none_or(|(so_far, _)| fitness > so_far)
            {
                best = Some((fitness, place));
            }
        }
        best.map(|(_, place)| place)
    }

    async fn ask_configs(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let silent = |offer: &&mut Offer| {
            offer.platform.is_none() && offer.descriptor.media_type.is_manifest()
        };
        for offer in self.list.iter_mut().filter(silent).take(MAX_CONFIGS) {
            let manifest = retry(|| read_document(store, &offer.descriptor)).await?;
            offer.platform = platform_of(store, &manifest).await?;
        }
        Ok(())
    }
}

fn push_listed(stack: &mut Vec<(Descriptor, Vec<Digest>)>, index: &AnyDocument, path: &[Digest]) {
    if let AnyDocument::Index(index) = index {
        let listed = index.value().manifests.iter().rev();
        stack.extend(listed.map(|descriptor| (descriptor.clone(), path.to_vec())));
    }
}

/// The platform in the config of a manifest; `None` for what is no image.
async fn platform_of(
    store: &dyn Store,
    document: &AnyDocument,
) -> Result<Option<Platform>, StoreError> {
    let AnyDocument::Manifest(manifest) = document else {
        return Ok(None);
    };
    let config = &manifest.value().config;
    if !config.media_type.is_config() {
        return Ok(None);
    }
    let limit = ("an image config", MAX_DOCUMENT);
    let bytes = retry(|| read_small(store, Kind::Blob, config, limit)).await?;
    // A config that is none says nothing of platforms; whoever unpacks the image will tell.
    let config = Document::<ImageConfig>::parse(config, bytes).ok();
    Ok(config.map(|config| config.value().platform.clone()))
}
