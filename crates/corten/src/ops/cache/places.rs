//! Places where caches travel to and from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use corten_spec::{RefName, Reference, Tag};
use corten_store::{LayoutStore, Selector, Store};

use crate::{Context, Failure};

/// A place of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// A name of a registry.
    Registry(Reference),
    /// An OCI layout, and the name in it.
    Layout(PathBuf, RefName),
}

impl CachePlace {
    /// The place as a user would write it, without secrets.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Registry(reference) => reference.to_string(),
            Self::Layout(path, name) => format!("oci:{}:{name}", path.display()),
        }
    }

    /// What picks the cache at its place.
    pub(super) fn selector(&self) -> Selector {
        match self {
            Self::Registry(reference) => match &reference.digest {
                Some(digest) => Selector::Digest(digest.clone()),
                None => Selector::Name(self.name()),
            },
            Self::Layout(_, name) => Selector::Name(name.clone()),
        }
    }

    /// The name that a cache gets there.
    pub(super) fn name(&self) -> RefName {
        match self {
            Self::Registry(reference) => {
                RefName::from(reference.tag.clone().unwrap_or_else(Tag::latest))
            }
            Self::Layout(_, name) => name.clone(),
        }
    }

    /// Opens it to read from.
    pub(super) fn source(&self, context: &Context) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Registry(reference) => registry(context, reference),
            Self::Layout(path, _) => Ok(Arc::new(LayoutStore::open(path)?)),
        }
    }

    /// Opens it to write to; a layout that is missing is made.
    pub(super) fn target(&self, context: &Context) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Registry(reference) => registry(context, reference),
            Self::Layout(path, _) => Ok(Arc::new(LayoutStore::create(path)?)),
        }
    }
}

fn registry(context: &Context, reference: &Reference) -> Result<Arc<dyn Store>, Failure> {
    Ok(Arc::new(context.registry(crate::opened::location_of(reference))?))
}

/// A cache that a build sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo {
    /// Where it goes.
    pub place: CachePlace,
    /// Which steps it has.
    pub steps: CacheSteps,
    /// Which cache mounts.
    pub mounts: CacheMounts,
    /// Whether a build is good where its cache could not be sent.
    pub ignore_error: bool,
}

/// Which steps travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheSteps {
    /// Those of all stages that were built.
    #[default]
    All,
    /// Those whose layers are in the image.
    OfImage,
}

/// Which cache mounts travel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheMounts {
    /// None.
    #[default]
    None,
    /// All of the build's steps.
    All,
    /// Those of these ids.
    Some(BTreeSet<String>),
}

impl CacheMounts {
    pub(crate) fn takes(&self, id: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(ids) => ids.contains(id),
        }
    }
}
