//! Copying: any graph of manifests and blobs from any place to any other, byte for byte.
//!
//! First the documents are read (`plan`), then the blobs go over, several at a time and each
//! once (`blob`), then the documents, children before parents, and the names at the very end: at
//! no moment does the target name an image that it does not have whole.

mod blob;
mod plan;

use std::sync::Arc;

use corten_spec::{AnyDocument, Descriptor, RefName};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinSet;

use crate::retry::retry;
use crate::{Event, Kind, Outcome, Platforms, Progress, Selector, Silent, Store, StoreError};
use plan::Plan;

/// Blobs in flight when the request does not say otherwise.
pub const DEFAULT_JOBS: usize = 4;

/// Whether what refers to an image goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithReferrers {
    /// Only the image.
    #[default]
    No,
    /// Signatures, attestations, bills of material: all that has the image, one of its manifests
    /// or another referrer as its subject, and what older tools keep under the tags
    /// `sha256-….sig`, `.att` and `.sbom`.
    Yes,
}

/// What becomes of layers that are not to be distributed and name other places to get them from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// Copied when the source has them, left out when it does not.
    #[default]
    IfPresent,
    /// Left out.
    Skip,
    /// Copied like every other; one that is missing is an error.
    Require,
}

/// What becomes of documents that two readers would read as two things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ambiguity {
    /// Nothing is copied.
    #[default]
    Refuse,
    /// They are copied like every other.
    Allow,
}

/// What to copy, from where, to where.
#[derive(Clone)]
pub struct Request {
    /// The source.
    pub from: Arc<dyn Store>,
    /// The target.
    pub to: Arc<dyn Store>,
    /// The image in the source.
    pub root: Selector,
    /// Its names in the target, set last; without any, the target keeps it without a name.
    pub names: Vec<RefName>,
    /// Which of its platforms.
    pub platforms: Platforms,
    /// Whether its referrers go with it.
    pub referrers: WithReferrers,
    /// What becomes of layers that are not to be distributed.
    pub foreign: Foreign,
    /// What becomes of ambiguous manifests, indexes and configs.
    pub ambiguity: Ambiguity,
    /// Blobs in flight at the same time; at least one.
    pub jobs: usize,
    /// Who is told.
    pub progress: Arc<dyn Progress>,
}

impl Request {
    /// A copy of everything below `root`, without referrers and without a name.
    pub fn new(from: Arc<dyn Store>, to: Arc<dyn Store>, root: Selector) -> Self {
        Self {
            from,
            to,
            root,
            names: Vec::new(),
            platforms: Platforms::All,
            referrers: WithReferrers::No,
            foreign: Foreign::default(),
            ambiguity: Ambiguity::default(),
            jobs: DEFAULT_JOBS,
            progress: Arc::new(Silent),
        }
    }
}

/// A number of blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, blob: &Descriptor) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(blob.size);
    }
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The image, as the target has it now.
    pub root: Descriptor,
    /// Blobs that were sent.
    pub sent: Tally,
    /// Blobs that the target had.
    pub present: Tally,
    /// Blobs that the target took from another of its repositories.
    pub mounted: Tally,
    /// Layers not to be distributed that were left out.
    pub skipped: Tally,
    /// Manifests and indexes that the target has now, referrers among them.
    pub manifests: u64,
    /// How many of them were sent now.
    pub pushed: u64,
    /// How many of them came along as referrers.
    pub referrers: u64,
}

impl Copied {
    fn nothing(root: Descriptor) -> Self {
        Self {
            root,
            sent: Tally::default(),
            present: Tally::default(),
            mounted: Tally::default(),
            skipped: Tally::default(),
            manifests: 0,
            pushed: 0,
            referrers: 0,
        }
    }
}

/// Copies, and succeeds when the target has everything, verified, under every name asked for.
/// What was copied before a failure stays and is not sent again by the next copy.
pub async fn copy(request: Request) -> Result<Copied, StoreError> {
    let plan = plan::draw(&request).await?;
    let mut copied = Copied::nothing(plan.root.descriptor().bare());
    copied.manifests = plan.levels.iter().map(|level| level.len() as u64).sum();
    copied.referrers = plan.referrers;
    send_blobs(&request, plan.blobs.clone(), &mut copied).await?;
    // They are read where they are near now, each byte over the network once, and before anything has a name.
    let (from, to) = (request.from.as_ref(), request.to.as_ref());
    let near = if to.location().is_none() { to } else { from };
    plan::check_configs(&request, near, &plan).await?;
    for level in &plan.levels {
        copied.pushed += push_level(&request, level).await?;
    }
    name(&request, &plan).await?;
    Ok(copied)
}

/// Brings `blobs` from one place into another, each verified, and names nothing: in a store that
/// collects, they stay for its grace period unless a document is put there that needs them.
pub async fn copy_blobs(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    blobs: Vec<Descriptor>,
    jobs: usize,
    progress: Arc<dyn Progress>,
) -> Result<(), StoreError> {
    let Some(first) = blobs.first() else { return Ok(()) };
    let root = Selector::Digest(first.digest.clone());
    let request = Request { jobs, progress, ..Request::new(from, to, root) };
    let mut copied = Copied::nothing(first.bare());
    send_blobs(&request, blobs, &mut copied).await
}

async fn send_blobs(
    request: &Request,
    blobs: Vec<Descriptor>,
    copied: &mut Copied,
) -> Result<(), StoreError> {
    let lanes = request.jobs.min(request.to.lanes()).max(1);
    let mut waiting = blobs.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < lanes
            && let Some(blob) = waiting.next()
        {
            let request = request.clone();
            running.spawn(async move {
                let outcome = blob::send(&request, &blob).await;
                outcome.map(|outcome| (blob, outcome))
            });
        }
        let Some(ended) = running.join_next().await else {
            return Ok(());
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(cancelled) => Err(StoreError::Interrupted {
                    object: "a blob".to_owned(),
                    place: request.to.describe(),
                    source: cancelled.into(),
                }),
            },
        };
        let (blob, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // The others stop where they are; what they staged stays for the next copy.
                running.shutdown().await;
                return Err(error);
            }
        };
        let tally = match outcome {
            None => &mut copied.skipped,
            Some(Outcome::Copied) => &mut copied.sent,
            Some(Outcome::Present) => &mut copied.present,
            Some(Outcome::Mounted) => &mut copied.mounted,
        };
        tally.add(&blob);
    }
}

/// Pushes documents that do not list each other; how many the target did not have.
async fn push_level(request: &Request, level: &[AnyDocument]) -> Result<u64, StoreError> {
    let pushes = level.iter().map(|document| push(request, document));
    let sent: Vec<bool> =
        stream::iter(pushes).buffer_unordered(request.jobs.max(1)).try_collect().await?;
    Ok(sent.into_iter().map(u64::from).sum())
}

async fn push(request: &Request, document: &AnyDocument) -> Result<bool, StoreError> {
    let (to, descriptor) = (request.to.as_ref(), document.descriptor());
    let there = retry(|| to.exists(Kind::Manifest, descriptor)).await?;
    // A referrer is pushed again: the target may have it without listing it.
    if !there || document.subject().is_some() {
        retry(|| to.push(document)).await?;
    }
    let outcome = if there { Outcome::Present } else { Outcome::Copied };
    request.progress.event(Event::Finished { descriptor: descriptor.clone(), outcome });
    Ok(!there)
}

async fn name(request: &Request, plan: &Plan) -> Result<(), StoreError> {
    let to = request.to.as_ref();
    for (name, document) in &plan.tags {
        retry(|| to.tag(name, document)).await?;
    }
    for name in &request.names {
        retry(|| to.tag(name, &plan.root)).await?;
    }
    if request.names.is_empty() {
        retry(|| to.keep(&plan.root)).await?;
    }
    Ok(())
}
