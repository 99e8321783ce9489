//! `build`: an image of a Dockerfile and a context, in the local store.

mod attested;
pub(super) mod bases;
mod cdi;
mod elsewhere;
mod failed;
mod given;
mod granted;
mod kept;
mod keys;
mod looking;
pub(super) mod outputs;
mod wanted;
mod wire;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use corten_build::{
    Base, BuildError, BuildListener, BuildRequest, BuildTitle, Builder, Built, Imports,
    NamedContext, Plan,
};
use corten_dockerfile::{BuildInputs, Dockerfile, IgnoreFile};
use corten_spec::Platform;
use corten_store::Tagger as _;
use schemars::JsonSchema;
use serde::Serialize;

pub use attested::{AttestWords, AttestationReport, ProvenanceMode};
pub use outputs::{BuildOutput, LoadInto};

pub use cdi::DeviceRules;
pub(crate) use cdi::PLACES as DEVICE_SPECS;
pub use elsewhere::{FetchedContext, fetch_context};
pub(super) use elsewhere::{KeptSource, forget_fetched, kept_sources};
pub use granted::{AgentWord, GrantWords};
pub use looking::{
    AdviceReport, ArgReport, BuildCheckReport, NeedReport, OutlineReport, TargetReport,
    TargetsReport, build_check, build_outline, build_targets,
};
pub use wanted::{BuildWanted, ContextWord, SecretWord, StepWord};

use super::cache;
use super::ready::Pull;
use crate::{Context, Failure};
use attested::{Facts, attested};
use bases::Images;
use elsewhere::Elsewhere;
use failed::failure;
use given::{contexts, read, values};
pub(super) use given::{secrets, times, times_of_environment};
pub(super) use granted::grants;
use kept::{Kept, kept};

/// Where the builder keeps its things, below the local store.
pub(super) const BUILD: &str = ".corten/build";

/// What was built.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BuildReport {
    /// Names that it has in the local store.
    pub names: Vec<String>,
    /// Digest of its manifest, or of the index of several.
    pub digest: String,
    /// Its ID: the digest of its config, or of the index of several.
    pub config: String,
    /// The image of each platform.
    pub images: Vec<BuiltImage>,
    /// How many steps were carried out.
    pub ran: usize,
    /// How many steps were in the cache.
    pub cached: usize,
    /// What was attested of it.
    pub attestations: Vec<AttestationReport>,
    /// Where else it is.
    pub outputs: Vec<String>,
    /// Where its cache is, besides here.
    pub caches: Vec<String>,
}

/// The image of a platform.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BuiltImage {
    /// The platform.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its config.
    pub config: String,
    /// How many layers it has.
    pub layers: usize,
}

/// Who is told what happens in a build.
pub type BuildTold = Arc<dyn BuildListener + Send + Sync>;

/// A Dockerfile that was read.
pub(super) struct Read {
    pub(super) file: Dockerfile,
    pub(super) text: Vec<u8>,
    pub(super) ignore: IgnoreFile,
    pub(super) inputs: BuildInputs,
    pub(super) shown: String,
}

/// Builds the image and names it. The same input gives the same digest, unless real times are asked for.
pub async fn build(
    context: &Context,
    wanted: BuildWanted,
    told: BuildTold,
) -> Result<BuildReport, Failure> {
    super::run::tell_of_one_id(context);
    let mut platforms = wanted.platforms.clone();
    if platforms.is_empty() {
        platforms.push(context.platform());
    }
    outputs::check(&wanted.outputs, &wanted.tags, platforms.len())?;
    let read = read(context, &wanted)?;
    let imported = cache::import(context, &wanted.cache_from, &told).await?;
    let mut all = Vec::with_capacity(platforms.len());
    for platform in &platforms {
        let imports = imported.clone();
        all.push(built(context, &wanted, &read, (platform, imports), told.clone()).await?);
    }
    let sendable = cache::Sendable::of(&all);
    let facts: Vec<_> = all.iter().map(Facts::of).collect();
    let kept = kept(context, all, &wanted.tags, &read.shown).await?;
    let Kept { mut report, document, entries, held } = kept;
    for (image, facts) in entries.iter().zip(facts) {
        report.attestations.extend(attested(context, (&wanted, &read), image, facts).await?);
    }
    // The names come last, when all that goes with the image is there.
    let store = context.store()?;
    for tag in &wanted.tags {
        store.tag(tag, &document).await?;
    }
    drop(held);
    let digest = document.descriptor().digest.clone();
    for output in &wanted.outputs {
        let sent = outputs::send(context, output, (&digest, &wanted.tags)).await?;
        report.outputs.extend(sent);
    }
    let imported = (imported.as_ref(), &told);
    report.caches = cache::export(context, &wanted.cache_to, &sendable, imported).await?;
    cache::hold_limit(context, wanted.cache_max, report.ran > 0).await?;
    Ok(report)
}

/// Builds for one platform.
async fn built(
    context: &Context,
    wanted: &BuildWanted,
    read: &Read,
    (platform, imported): (&Platform, Option<Arc<cache::Imported>>),
    told: BuildTold,
) -> Result<Built, Failure> {
    let inputs = BuildInputs { target: values(platform), ..read.inputs.clone() };
    let names: Vec<&str> = wanted.contexts.keys().map(String::as_str).collect();
    let (shown, text) = (&read.shown, &read.file);
    let plan = Plan::new(text.clone(), inputs, wanted.target.as_deref(), &names)
        .map_err(|error| failure(shown, text, error))?;
    let request = BuildRequest {
        platform: platform.clone(),
        context: wanted.context.clone(),
        kind: wanted.fetched.as_ref().map(|fetched| fetched.kind).unwrap_or_default(),
        ignore: read.ignore.clone(),
        contexts: contexts(wanted)?,
        secrets: secrets(context, &wanted.secrets)?,
        labels: wanted.labels.clone(),
        network: wanted.network.into(),
        no_cache: wanted.no_cache,
        times: times(context, wanted)?,
        compression: wanted.compression,
        imports: imported.map(|imported| imported as Arc<dyn Imports>),
        title: Some(title(wanted, shown)),
        grants: grants(context, &wanted.grants)?,
    };
    let images = (wanted.pull, BTreeMap::new());
    let built = carry_out(context, plan, request, images, told).await?;
    built.map_err(|error| failure(shown, text, error))
}

/// How a build is remembered.
pub(super) fn title(wanted: &BuildWanted, shown: &str) -> BuildTitle {
    let file = std::fs::canonicalize(shown).map(|path| path.display().to_string());
    let names = wanted.tags.iter().map(ToString::to_string).collect();
    BuildTitle { file: file.unwrap_or_else(|_| shown.to_owned()), names }
}

/// Runs the builder on a thread; images that are not among `own` are asked for on the runtime.
pub(super) async fn carry_out(
    context: &Context,
    plan: Plan,
    request: BuildRequest,
    (pull, own): (Pull, BTreeMap<String, Base>),
    told: BuildTold,
) -> Result<Result<Built, BuildError>, Failure> {
    let (asking, mut asked) = tokio::sync::mpsc::channel(4);
    let places = request.contexts.values().filter_map(|context| match context {
        NamedContext::Image(place) => Some(place.clone()),
        NamedContext::Directory(_) | NamedContext::Fetched(_) => None,
    });
    let bases = Images { asking, places: places.collect(), own };
    let store = context.store()?;
    // What this build finds in the cache stays until it has its name.
    store.hold()?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let (snapshots, powers) = (context.snapshots()?, context.powers());
    let form = context.form(&snapshots);
    let (native, now) = (context.platform(), context.now());
    let (leases, programs) = (context.leases(), context.programs());
    let memory = context.memory();
    let elsewhere = Elsewhere::new(context, &store.path().join(BUILD))?;
    let thread = tokio::task::spawn_blocking(move || {
        let builder = Builder {
            place: store.path().join(BUILD),
            memory,
            store,
            snapshots,
            form,
            powers,
            native,
            bases: &bases,
            remotes: &elsewhere,
            listener: told.as_ref(),
            leases,
            programs,
            threads,
            now,
        };
        builder.build(&plan, &request)
    });
    // Ends when the thread does, which has the other end.
    while let Some(question) = asked.recv().await {
        bases::answer(context, question, pull).await;
    }
    thread.await.map_err(|_| Failure::interrupted("the build"))
}
