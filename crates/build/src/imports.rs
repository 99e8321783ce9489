//! Caches elsewhere: what steps gave on other machines. Only which layer a key has is known at first; its bytes come
//! when something needs them, and are held against what was said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use corten_layer::{DiffReader, Limits};
use corten_spec::Digest;
use corten_store::StoreError;

use crate::base::BuiltLayer;
use crate::builder::Session;
use crate::builds::StepEnd;
use crate::cache::StepOrigin;
use crate::cache_mounts::fill;
use crate::error::{Result, StepError, of_layer};
use crate::event::BuildEvent;
use crate::key::CacheKey;

/// How many layers come at the same time.
const LANES: usize = 4;

/// Caches elsewhere, as a build asks them. Whoever can write to one of them says which layer a step gives.
pub trait Imports: std::fmt::Debug + Send + Sync {
    /// The layer that a step of this key gave.
    fn step(&self, key: &str) -> Option<BuiltLayer>;

    /// The files of a cache mount of this name, as a layer.
    fn mount(&self, name: &str) -> Option<BuiltLayer>;

    /// Brings a layer into the store of the build, its packed bytes verified.
    fn fetch(
        &self,
        layer: &BuiltLayer,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepResult {
    /// Its key.
    pub key: CacheKey,
    /// Its layer, which may still be in a cache elsewhere alone.
    pub layer: BuiltLayer,
    /// Its stage.
    pub stage: String,
    /// Its instruction, shortened.
    pub text: String,
}

/// What the steps of a build gave.
#[derive(Default)]
pub(crate) struct Results {
    steps: Mutex<Vec<StepResult>>,
    mounts: Mutex<BTreeMap<String, String>>,
}

impl Results {
    pub(crate) fn add(&self, step: StepResult) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Gives what a key gave to another one.
    pub(crate) fn rename(&self, from: &CacheKey, to: &CacheKey) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for step in steps.iter_mut().filter(|step| step.key == *from) {
            step.key = to.clone();
        }
    }

    pub(crate) fn add_mount(&self, name: &str, id: &str) {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.insert(name.to_owned(), id.to_owned());
    }

    pub(crate) fn take(&self) -> (Vec<StepResult>, BTreeMap<String, String>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut *steps);
        all.sort_by(|a, b| a.key.cmp(&b.key));
        (all, std::mem::take(&mut *mounts))
    }
}

/// Layers elsewhere that were not what they must be.
#[derive(Default)]
pub(crate) struct Spoiled(Mutex<BTreeSet<Digest>>);

impl Spoiled {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn has(&self, layer: &BuiltLayer) -> bool {
        let spoiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spoiled.contains(&layer.descriptor.digest)
    }

    fn add(&self, layer: &BuiltLayer) {
        let mut spoiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spoiled.insert(layer.descriptor.digest.clone());
    }
}

/// A key under which a layer from elsewhere is kept once it is here, and what is known of its step.
type Awaited = (CacheKey, StepOrigin);

/// What a build has found elsewhere.
pub(crate) struct Imported<'a> {
    spoiled: &'a Spoiled,
    steps: Mutex<BTreeMap<Digest, (BuiltLayer, Vec<Awaited>)>>,
}

impl<'a> Imported<'a> {
    pub(crate) fn new(spoiled: &'a Spoiled) -> Self {
        Self { spoiled, steps: Mutex::default() }
    }

    /// Notes a step whose layer was found elsewhere: it is kept here once that is here.
    pub(crate) fn note(&self, key: &CacheKey, layer: &BuiltLayer, origin: StepOrigin) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = layer.descriptor.digest.clone();
        let (_, keys) = steps.entry(digest).or_insert_with(|| (layer.clone(), Vec::new()));
        keys.push((key.clone(), origin));
    }
}

impl Session<'_> {
    /// The layer of a key, in the cache of this machine or elsewhere.
    pub(crate) fn cached(&self, key: &CacheKey) -> Option<(BuiltLayer, StepEnd)> {
        if let Some(layer) = self.pending.layer(key) {
            return Some((layer, StepEnd::Cached));
        }
        let layer = self.request.imports.as_ref()?.step(key.as_str())?;
        (!self.imported.spoiled.has(&layer)).then_some((layer, StepEnd::Imported))
    }

    /// The packed bytes of a layer, brought here where they are elsewhere.
    pub(crate) fn packed(&self, layer: &BuiltLayer) -> Result<File> {
        match self.pending.packed(layer) {
            Err(StepError::Store(StoreError::NotFound { .. })) if self.is_elsewhere(layer) => {
                self.bring(layer)?;
                self.pending.packed(layer)
            }
            packed => packed,
        }
    }

    /// Whether a layer was found elsewhere alone.
    pub(crate) fn is_elsewhere(&self, layer: &BuiltLayer) -> bool {
        let steps = self.imported.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.contains_key(&layer.descriptor.digest)
    }

    /// Brings those layers of the image here that are elsewhere, and keeps their steps.
    pub(crate) fn bring_image(&self) -> Result<()> {
        let mut wanted = self.target_layers();
        wanted.retain(|layer| self.is_elsewhere(layer));
        let size = wanted.len().div_ceil(LANES).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = wanted
                .chunks(size)
                .map(|part| scope.spawn(|| part.iter().try_for_each(|layer| self.bring(layer))))
                .collect();
            let ended =
                parts.into_iter().map(|part| part.join().unwrap_or(Err(StepError::Cancelled)));
            // All of them end, so that everything that is wrong is known before another try.
            let mut all = Ok(());
            for one in ended {
                all = all.and(one);
            }
            all
        })
    }

    /// Brings a layer here. What is not what was said of it is never asked for again in this build, which gives up
    /// and begins anew without it.
    fn bring(&self, layer: &BuiltLayer) -> Result<()> {
        if let Err(error) = self.fetch(layer) {
            let digest = &layer.descriptor.digest;
            let text = format!("the layer {digest} of a cache elsewhere is not used: {error}");
            self.builder.listener.hear(BuildEvent::Notice { text: &text });
            self.imported.spoiled.add(layer);
            self.give_up();
            return Err(StepError::Cancelled);
        }
        let steps = self.imported.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let known = steps.get(&layer.descriptor.digest).cloned();
        drop(steps);
        for (key, origin) in known.into_iter().flat_map(|(_, keys)| keys) {
            self.pending.keep(&key, layer, origin)?;
        }
        Ok(())
    }

    /// Fetches a layer and holds it against its descriptor and its DiffId.
    fn fetch(&self, layer: &BuiltLayer) -> Result<()> {
        let Some(imports) = &self.request.imports else { return Err(StepError::Cancelled) };
        let digest = &layer.descriptor.digest;
        let elsewhere = |source| StepError::Base { name: digest.to_string(), source };
        imports.fetch(layer).map_err(elsewhere)?;
        let packed = BufReader::with_capacity(256 * 1024, self.builder.store.blob_file(digest)?);
        let algorithm = layer.diff_id.0.algorithm();
        let algorithm = algorithm.map_err(|error| StepError::Refused(error.to_string()))?;
        let read = DiffReader::of_diff(packed, Limits::default(), algorithm);
        let found = read.and_then(DiffReader::finish_diff).map_err(of_layer(digest))?.0;
        if found != layer.diff_id {
            let text = format!("{digest}: it unpacks to {}, not {}", found.0, layer.diff_id.0);
            return Err(StepError::Refused(text));
        }
        Ok(())
    }

    /// Fills a new cache mount with what a cache elsewhere has of it; whether it did.
    pub(crate) fn import_mount(&self, name: &str, directory: &Path) -> Result<bool> {
        let Some(imports) = &self.request.imports else { return Ok(false) };
        let Some(layer) = imports.mount(name) else { return Ok(false) };
        if self.imported.spoiled.has(&layer) {
            return Ok(false);
        }
        let filled = self.fetch(&layer).and_then(|()| {
            let packed = self.builder.store.blob_file(&layer.descriptor.digest)?;
            let packed = BufReader::with_capacity(256 * 1024, packed);
            fill(packed, directory, self.builder.powers)
        });
        if let Err(error) = filled {
            let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
            let why = why.unwrap_or_default();
            let text = format!("the cache mount of a cache elsewhere is not used: {error}{why}");
            self.builder.listener.hear(BuildEvent::Notice { text: &text });
            self.imported.spoiled.add(&layer);
            self.give_up();
            return Err(StepError::Cancelled);
        }
        Ok(true)
    }
}
