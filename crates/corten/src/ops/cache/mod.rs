//! `cache`: what the builder keeps from build to build, as people manage it.

mod document;
mod explain;
mod export;
mod import;
mod kept;
mod limit;
mod places;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use corten_build::{CacheLock, building_since, sweep_killed};
use corten_spec::Digest;
use schemars::JsonSchema;
use serde::Serialize;

pub use explain::{ExplainCacheReport, ExplainedChange, explain_cache};
pub(super) use export::{Sendable, export};
pub(super) use import::{Imported, import};
pub(super) use limit::hold_limit;
pub use places::{CacheMounts, CachePlace, CacheSteps, CacheTo};

use super::build::BUILD;
use super::layers::on_thread;
use crate::{Context, Failure};
use kept::{Kept, total};

/// What is kept.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Layers of steps.
    Step,
    /// Directories of `RUN --mount=type=cache`.
    Mount,
    /// Digests of files of contexts.
    Memo,
    /// Files and repositories from elsewhere.
    Source,
}

/// What the builder keeps.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CacheReport {
    /// All of it, what was used last first.
    pub entries: Vec<CacheEntry>,
    /// Bytes of what is listed, each once; what images need too does not count.
    pub bytes: u64,
}

/// One thing that the builder keeps.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CacheEntry {
    /// What it is.
    pub kind: CacheKind,
    /// Its number: the key of a step.
    pub id: String,
    /// What it was made by: an instruction, the `id=` of a mount, an address.
    pub about: Option<String>,
    /// The stage of a step.
    pub stage: Option<String>,
    /// The line of the Dockerfile that a step stands in.
    pub line: Option<usize>,
    /// The layer of a step.
    pub layer: Option<String>,
    /// Bytes of it.
    pub size: u64,
    /// Whether an image of the local store or another step needs the same bytes, so that removing this alone
    /// frees none.
    pub shared: bool,
    /// When it was made, in seconds after 1970, where that is known.
    pub made: Option<u64>,
    /// When it was used last, in seconds after 1970.
    pub used: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// Whether a build uses it now.
    pub in_use: bool,
}

/// Which entries are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheFilter {
    /// Of these kinds; of every kind where none is named.
    pub kinds: BTreeSet<CacheKind>,
    /// Beginnings of ids; any where none is named.
    pub ids: Vec<String>,
}

impl CacheFilter {
    fn takes(&self, kind: CacheKind, id: &str) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.ids.is_empty() || self.ids.iter().any(|start| id.starts_with(start)))
    }
}

/// Lists what the builder keeps.
pub async fn cache(context: &Context, filter: CacheFilter) -> Result<CacheReport, Failure> {
    let look = Look::new(context)?;
    on_thread("the cache", move || {
        let mut kept = look.all()?;
        kept.retain(|kept| filter.takes(kept.entry.kind, &kept.entry.id));
        let bytes = total(&kept);
        kept.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.entry.id.cmp(&b.entry.id)));
        Ok(CacheReport { entries: kept.into_iter().map(|kept| kept.entry).collect(), bytes })
    })
    .await
}

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheGcRequest {
    /// Most bytes that stay.
    pub max: Option<u64>,
    /// What was used within this time stays.
    pub keep: Option<Duration>,
    /// Whether everything goes that no build uses.
    pub all: bool,
    /// Which entries are meant.
    pub filter: CacheFilter,
    /// Whether nothing goes, and it is only told what would.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CacheGcReport {
    /// What was removed, or would be, what was not used for longest first.
    pub removed: Vec<CacheEntry>,
    /// Bytes that it took.
    pub bytes: u64,
    /// Bytes of what stays.
    pub kept: u64,
    /// Whether it was only told.
    pub dry_run: bool,
}

/// Removes what was not used for longest, and never what a build uses.
pub async fn cache_gc(
    context: &Context,
    request: CacheGcRequest,
) -> Result<CacheGcReport, Failure> {
    let mut request = request;
    if request.max.is_none() && request.keep.is_none() && !request.all {
        let text = "what is to go? --max SIZE, --keep-duration AGE or --all, or cache-max of the configuration's [build]";
        let limit = context.cache_max().ok_or_else(|| Failure::Usage(text.to_owned()))?;
        request.max = Some(limit);
    }
    let look = Look::new(context)?;
    on_thread("the cache", move || look.collect(&request)).await
}

/// What it takes to look at the cache from a thread.
struct Look {
    store: corten_store::LayoutStore,
    place: std::path::PathBuf,
    now: SystemTime,
    drafted: Vec<Digest>,
}

impl Look {
    fn new(context: &Context) -> Result<Self, Failure> {
        let store = context.store()?;
        let drafts = super::steps::drafted_layers(&store)?;
        let drafted = drafts.iter().flatten().map(|layer| layer.descriptor.digest.clone());
        let drafted = drafted.collect();
        // The time at which it begins: what a build finds in the meantime is younger.
        let now = Duration::from_nanos(crate::context::clock().0);
        let now = SystemTime::UNIX_EPOCH + now;
        Ok(Self { place: store.path().join(BUILD), store, now, drafted })
    }

    /// What was used since then may be in use: when the oldest of the builds began that go on now.
    fn since(&self) -> Result<SystemTime, Failure> {
        let since = building_since(&self.place).map_err(wrong(&self.place))?;
        Ok(since.map_or(self.now, |since| since.min(self.now)))
    }

    fn collect(&self, request: &CacheGcRequest) -> Result<CacheGcReport, Failure> {
        let since = self.since()?;
        let all = self.all()?;
        let chosen = limit::choose(&all, request, self.now);
        let mut report = CacheGcReport {
            removed: Vec::new(),
            bytes: 0,
            kept: total(&all),
            dry_run: request.dry_run,
        };
        if !request.dry_run {
            sweep_killed(&self.place, since).map_err(wrong(&self.place))?;
        }
        let gone = match request.dry_run {
            true => chosen.clone(),
            false => self.remove(&all, &chosen, since)?,
        };
        let is_gone: BTreeSet<usize> = gone.iter().copied().collect();
        let left = all.iter().enumerate().filter(|(number, _)| !is_gone.contains(number));
        let left: Vec<&Kept> = left.map(|(_, kept)| kept).collect();
        let before = report.kept;
        report.kept = total(left);
        report.bytes = before.saturating_sub(report.kept);
        report.removed =
            gone.into_iter().filter_map(|number| Some(all.get(number)?.entry.clone())).collect();
        Ok(report)
    }

    /// Removes what was chosen; gives what is gone.
    fn remove(
        &self,
        all: &[Kept],
        chosen: &[usize],
        since: SystemTime,
    ) -> Result<Vec<usize>, Failure> {
        let place = &self.place;
        let mut gone = Vec::new();
        let mut layers = Vec::new();
        let lock = CacheLock::take(place).map_err(wrong(place))?;
        for number in chosen {
            let Some(kept) = all.get(*number) else { continue };
            let is_gone = match (&kept.what, &lock) {
                (kept::What::Step(layer, keys), Some(lock)) => {
                    let mut is_gone = true;
                    for key in keys {
                        is_gone &= lock.forget(key, since).map_err(wrong(place))?;
                    }
                    layers.extend(is_gone.then(|| layer.clone()));
                    is_gone
                }
                (kept::What::Step(..), None) => false,
                (kept::What::Mount(mount), _) => {
                    mount.remove(place, since).map_err(wrong(place))?
                }
                (kept::What::Memo(memo), _) => {
                    memo.remove(place).map_err(wrong(place))?;
                    true
                }
                (kept::What::Source(source), _) => source.remove(place, since)?,
            };
            gone.extend(is_gone.then_some(*number));
        }
        if let Some(lock) = lock {
            // What other steps gave too stays.
            let left = corten_build::kept_steps(place).map_err(wrong(place))?;
            let mut needed = self.drafted.clone();
            needed.extend(left.into_iter().map(|step| step.layer.descriptor.digest));
            if !layers.is_empty() {
                self.store.discard(&layers, self.now, &needed)?;
            }
            lock.forget_origins().map_err(wrong(place))?;
        }
        Ok(gone)
    }
}

fn wrong(place: &Path) -> impl FnOnce(std::io::Error) -> Failure + use<> {
    let object = place.display().to_string();
    move |source| Failure::Io { object, action: "looking after the cache of builds", source }
}
