//! What a build was made of, for whoever attests it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use corten_spec::Digest;

/// What something from elsewhere is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OriginKind {
    /// An image; its digest is that of its manifest.
    Image,
    /// A file behind an address; its digest is that of its bytes.
    File,
    /// A commit of a repository.
    Commit,
}

/// Something from elsewhere that a build took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildOrigin {
    /// What it is.
    pub kind: OriginKind,
    /// Where it is: a name, or an address without passwords and queries.
    pub place: String,
    /// Which it was: a digest, or the number of a commit.
    pub identity: String,
    /// The platform that an image was taken for.
    pub platform: Option<String>,
}

/// A step that made a layer, or found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayeredStep {
    /// How it is called: `[stage 2/5] RUN make`.
    pub label: String,
    /// The layer that it gave.
    pub layer: Digest,
}

/// Both while a build goes on.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    places: Mutex<BTreeSet<BuildOrigin>>,
    steps: Mutex<BTreeMap<usize, Vec<LayeredStep>>>,
}

impl Origins {
    pub(crate) fn took(&self, kind: OriginKind, place: &str, identity: &str) {
        let (place, identity) = (place.to_owned(), identity.to_owned());
        held(&self.places).insert(BuildOrigin { kind, place, identity, platform: None });
    }

    pub(crate) fn took_image(&self, place: &str, digest: &Digest, platform: String) {
        let (place, identity) = (place.to_owned(), digest.to_string());
        let kind = OriginKind::Image;
        held(&self.places).insert(BuildOrigin { kind, place, identity, platform: Some(platform) });
    }

    /// A step of a stage gave a layer; the stage's own are in their order.
    pub(crate) fn gave(&self, stage: usize, label: &str, layer: &Digest) {
        let step = LayeredStep { label: label.to_owned(), layer: layer.clone() };
        held(&self.steps).entry(stage).or_default().push(step);
    }

    /// All of it, in an order that no clock decides.
    pub(crate) fn all(&self) -> (Vec<BuildOrigin>, Vec<LayeredStep>) {
        let places = held(&self.places).iter().cloned().collect();
        (places, held(&self.steps).values().flatten().cloned().collect())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
