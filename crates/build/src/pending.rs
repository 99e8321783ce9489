//! Layers that were made and wait for the disk together: one wait serves them all. Until then the build itself
//! reads them from where they are staged, and nobody else knows of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::mem::take;
use std::sync::{Mutex, PoisonError};

use corten_store::{LayoutStore, Staged};

use crate::base::BuiltLayer;
use crate::cache::{Cache, StepOrigin};
use crate::error::{Result, refused};
use crate::key::CacheKey;

/// Most layers that wait: each is an open file.
const MAX_LAYERS: usize = 64;
/// Bytes that wait, at most, before the next step begins.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What waits.
pub(crate) struct Pending {
    store: LayoutStore,
    cache: Cache,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    staged: Vec<(Staged, BuiltLayer)>,
    steps: BTreeMap<CacheKey, (BuiltLayer, StepOrigin)>,
    /// Why something could not be put on disk: it is lost then, and the build with it.
    broken: Option<String>,
}

impl Pending {
    pub(crate) fn new(store: LayoutStore, cache: Cache) -> Self {
        Self { store, cache, state: Mutex::default() }
    }

    /// A place for a layer that is about to be packed.
    pub(crate) fn stage(&self) -> Result<Staged> {
        Ok(self.store.stage()?)
    }

    /// Takes a layer that is packed.
    pub(crate) fn add(&self, staged: Staged, layer: &BuiltLayer) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.staged.push((staged, layer.clone()));
        let bytes: u64 = state.staged.iter().map(|(_, layer)| layer.descriptor.size).sum();
        if state.staged.len() >= MAX_LAYERS || bytes >= MAX_BYTES {
            return self.publish(&mut state);
        }
        Ok(())
    }

    /// The packed bytes of a layer, wherever they are.
    pub(crate) fn packed(&self, layer: &BuiltLayer) -> Result<File> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = &layer.descriptor.digest;
        let waiting = state.staged.iter().find(|(_, made)| made.descriptor.digest == *digest);
        match waiting {
            Some((staged, _)) => Ok(staged.read()?),
            None => Ok(self.store.blob_file(digest)?),
        }
    }

    /// The layer that a step gave, in this build or an earlier one.
    pub(crate) fn layer(&self, key: &CacheKey) -> Option<BuiltLayer> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.steps.get(key).map(|(layer, _)| layer.clone());
        fresh.or_else(|| self.cache.layer(key, &self.store))
    }

    /// Remembers which layer a step gave, once that is on disk.
    pub(crate) fn keep(
        &self,
        key: &CacheKey,
        layer: &BuiltLayer,
        origin: StepOrigin,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.staged.is_empty() {
            return self.cache.keep(key, layer, &origin);
        }
        state.steps.insert(key.clone(), (layer.clone(), origin));
        Ok(())
    }

    /// Puts on disk what waits: for whenever there is time to.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(&mut state)
    }

    fn publish(&self, state: &mut Waiting) -> Result<()> {
        if let Some(text) = &state.broken {
            return refused(text.clone());
        }
        let staged = take(&mut state.staged).into_iter();
        let staged = staged.map(|(staged, layer)| (staged, layer.descriptor));
        if let Err(error) = self.store.publish(staged) {
            state.broken = Some(format!("layers could not be put on disk: {error}"));
            return Err(error.into());
        }
        for (key, (layer, origin)) in take(&mut state.steps) {
            self.cache.keep(&key, &layer, &origin)?;
        }
        Ok(())
    }
}
