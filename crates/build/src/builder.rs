//! Stages beside each other: each on a thread of its own, waiting for what it needs.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::SystemTime;

use corten_bundle::{Form, Powers, Snapshots};
use corten_dockerfile::IgnoreFile;
use corten_spec::{ImageConfig, Platform};
use corten_store::LayoutStore;

use crate::assemble::How;
use crate::base::{Base, Bases, BuiltLayer};
use crate::builds::{BuildTitle, PastBuild, PastStep, remember};
use crate::cache::Cache;
use crate::error::{BuildError, Result, StepError};
use crate::event::BuildListener;
use crate::imports::{Imported, Results, Spoiled, StepResult};
use crate::kept_memo::FILES;
use crate::memo::Memo;
use crate::origin::{BuildOrigin, LayeredStep, Origins};
use crate::pending::Pending;
use crate::plan::Plan;
use crate::remote::Remotes;
use crate::request::BuildRequest;
use crate::source::{Owners, Source};
use crate::stage::{StageState, run_stage};
use crate::work::{ROOMS, Work};

/// What builds: this machine, as far as a build knows it.
pub struct Builder<'a> {
    /// Where layers go.
    pub store: LayoutStore,
    /// Where layers are made ready to run.
    pub snapshots: Snapshots,
    /// In which form.
    pub form: Form,
    /// What this process may do with their files.
    pub powers: Powers,
    /// This machine's platform.
    pub native: Platform,
    /// Who has images.
    pub bases: &'a dyn Bases,
    /// Who has files and repositories from elsewhere.
    pub remotes: &'a dyn Remotes,
    /// Who is told what happens.
    pub listener: &'a dyn BuildListener,
    /// The directory of the builder's own.
    pub place: PathBuf,
    /// A directory of one's own in memory, for what is needed while a step runs.
    pub memory: Option<PathBuf>,
    /// Where the leases of networks are.
    pub leases: PathBuf,
    /// Directories of programs, for networks.
    pub programs: Vec<PathBuf>,
    /// How many threads compress and hash.
    pub threads: NonZeroUsize,
    /// The time of day at the beginning.
    pub now: SystemTime,
}

/// What was built.
pub struct Built {
    /// The image's config.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<BuiltLayer>,
    /// How many steps were carried out.
    pub ran: usize,
    /// How many were in the cache.
    pub cached: usize,
    /// What each step gave, those in the cache too.
    pub steps: Vec<StepResult>,
    /// The cache mounts of its steps, by their names: the `id=` of each.
    pub mounts: BTreeMap<String, String>,
    /// What of elsewhere it was made of.
    pub origins: Vec<BuildOrigin>,
    /// The steps that made layers, stage by stage.
    pub layered: Vec<LayeredStep>,
    /// Keeps the layers of the base.
    pub held: Vec<Arc<dyn Any + Send + Sync>>,
}

/// One build while it goes on.
pub(crate) struct Session<'a> {
    pub(crate) builder: &'a Builder<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) request: &'a BuildRequest,
    pub(crate) pending: Pending,
    pub(crate) memo: Memo,
    pub(crate) work: Work,
    pub(crate) origins: Origins,
    failed: AtomicBool,
    ended: Mutex<BTreeMap<usize, Option<StageState>>>,
    bell: Condvar,
    images: Mutex<BTreeMap<(String, String), Base>>,
    contexts: Mutex<BTreeMap<PathBuf, Arc<Source>>>,
    counts: Mutex<(usize, usize)>,
    past: Mutex<Vec<PastStep>>,
    pub(crate) results: Results,
    pub(crate) imported: Imported<'a>,
}

impl Builder<'_> {
    /// Builds what the plan says. Nothing is named: that is for whoever asked.
    ///
    /// # Errors
    /// The first thing that went wrong, with its place in the Dockerfile.
    pub fn build(
        &self,
        plan: &Plan,
        request: &BuildRequest,
    ) -> std::result::Result<Built, BuildError> {
        let spoiled = Spoiled::default();
        loop {
            let before = spoiled.count();
            let built = self.attempt(plan, request, &spoiled);
            // A layer from elsewhere that is not what it must be is as good as none: its step is carried out.
            if built.is_err() && spoiled.count() > before {
                continue;
            }
            return built;
        }
    }

    fn attempt(
        &self,
        plan: &Plan,
        request: &BuildRequest,
        spoiled: &Spoiled,
    ) -> std::result::Result<Built, BuildError> {
        let place = |error| BuildError::Place(Box::new(error));
        let cache = Cache::open(&self.place).map_err(place)?;
        let session = Session {
            builder: self,
            plan,
            request,
            pending: Pending::new(self.store.clone(), cache),
            memo: Memo::open(self.place.join(FILES), self.now),
            work: Work::begin(&self.place.join(ROOMS), self.memory.as_deref()).map_err(place)?,
            origins: Origins::default(),
            failed: AtomicBool::new(false),
            ended: Mutex::default(),
            bell: Condvar::new(),
            images: Mutex::default(),
            contexts: Mutex::default(),
            counts: Mutex::default(),
            past: Mutex::default(),
            results: Results::default(),
            imported: Imported::new(spoiled),
        };
        let mut first: Option<BuildError> = None;
        std::thread::scope(|scope| {
            scope.spawn(|| session.work.attend());
            let threads: Vec<_> =
                plan.stages.iter().map(|stage| scope.spawn(|| session.carry_out(*stage))).collect();
            for thread in threads {
                let ended = thread.join().unwrap_or(Err(BuildError::Died));
                let Err(error) = ended else { continue };
                if first.as_ref().is_none_or(BuildError::is_cancelled) {
                    first = Some(error);
                }
            }
            session.work.close();
        });
        // What was made before something failed is of use to the next build.
        let flushed = session.pending.flush().map_err(place);
        // Who asks later asks about those that failed, too.
        let _ = session.remember();
        if let Some(error) = first {
            return Err(error);
        }
        flushed?;
        session.bring_image().map_err(place)?;
        // What is not remembered is only read again.
        let _ = session.memo.keep();
        session.built()
    }
}

impl Session<'_> {
    fn carry_out(&self, stage: usize) -> std::result::Result<(), BuildError> {
        // Whoever waits for this stage must be told, whatever becomes of it.
        let done = catch_unwind(AssertUnwindSafe(|| run_stage(self, stage)));
        let done = done.unwrap_or(Err(BuildError::Died));
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        let (state, ended) = match done {
            Ok(state) => (Some(state), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(stage, state);
        self.bell.notify_all();
        ended
    }

    fn built(&self) -> std::result::Result<Built, BuildError> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let state = ended.remove(&self.plan.target).flatten().ok_or(BuildError::Died)?;
        let (ran, cached) = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = state.config;
        let labels = self.request.labels.clone();
        config.config.get_or_insert_default().labels.extend(labels);
        let created = config.history.last().and_then(|row| row.created.clone());
        config.created = created.or(config.created);
        let (steps, mounts) = self.results.take();
        let layers: Vec<BuiltLayer> = state.layers.into_iter().map(|laid| laid.layer).collect();
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let (origins, layered) = self.origins.all();
        let held = state.held;
        Ok(Built { config, layers, ran, cached, steps, mounts, origins, layered, held })
    }

    /// The result of another stage, once it is there.
    pub(crate) fn stage(&self, stage: usize) -> Result<StageState> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match ended.get(&stage) {
                Some(Some(state)) => return Ok(state.clone()),
                Some(None) => return Err(StepError::Cancelled),
                None => {}
            }
            ended = self.bell.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a stage has failed, so that nothing else is of use.
    pub(crate) fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Stops all other stages; whether nobody did so before.
    pub(crate) fn stop(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// An image by its name and for a platform, asked for once.
    pub(crate) fn image(&self, name: &str, platform: &Platform) -> Result<Base> {
        let key = (name.to_owned(), platform.to_string());
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = images.get(&key) {
            return Ok(base.clone());
        }
        let asked = self.builder.bases.image(name, platform);
        let base = asked.map_err(|source| StepError::Base { name: name.to_owned(), source })?;
        if let Some(digest) = &base.digest {
            self.origins.took_image(name, digest, platform.to_string());
        }
        images.insert(key, base.clone());
        Ok(base)
    }

    /// The build's own context.
    pub(crate) fn context(&self) -> Result<Arc<Source>> {
        let owners = Owners::from(self.request.kind);
        self.directory(&self.request.context, &self.request.ignore, owners)
    }

    /// A directory as a context, opened once.
    pub(crate) fn directory(
        &self,
        path: &PathBuf,
        ignore: &IgnoreFile,
        owners: Owners,
    ) -> Result<Arc<Source>> {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = contexts.get(path) {
            return Ok(source.clone());
        }
        let source = Arc::new(Source::open(path, ignore.clone(), owners)?);
        contexts.insert(path.clone(), source.clone());
        Ok(source)
    }

    /// Notes that a step was carried out, or found in the cache.
    pub(crate) fn count(&self, is_cached: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if is_cached { counts.1 += 1 } else { counts.0 += 1 }
    }

    /// The layers of the target.
    pub(crate) fn target_layers(&self) -> Vec<BuiltLayer> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let state = ended.get(&self.plan.target).and_then(Option::as_ref);
        let layers = state.into_iter().flat_map(|state| &state.layers);
        layers.map(|laid| laid.layer.clone()).collect()
    }

    /// Has everything else end.
    pub(crate) fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Notes how a step ended.
    pub(crate) fn past(&self, step: PastStep) {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Remembers the build.
    fn remember(&self) -> Result<()> {
        let Some(BuildTitle { file, names }) = self.request.title.clone() else { return Ok(()) };
        let mut steps =
            std::mem::take(&mut *self.past.lock().unwrap_or_else(PoisonError::into_inner));
        steps.sort_by_key(|step| (step.stage_number, step.number));
        let began = self.builder.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let build = PastBuild {
            file,
            names,
            target: self.plan.name(self.plan.target),
            platform: self.request.platform.to_string(),
            began: u64::try_from(began.as_millis()).unwrap_or_default(),
            no_cache: self.request.no_cache,
            steps,
        };
        remember(&self.builder.place, &build)
    }

    /// How layers are packed.
    pub(crate) fn how(&self) -> How {
        let (compression, times) = (self.request.compression, self.request.times);
        How { compression, threads: self.builder.threads, times }
    }
}
