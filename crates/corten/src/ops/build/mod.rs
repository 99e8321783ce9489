//! `build`: an image of a Dockerfile and a context, in the local store.

mod attested;
pub(super) mod bases;
mod elsewhere;
mod given;
mod granted;
mod keys;
mod looking;
pub(super) mod outputs;
mod wire;

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use corten_build::{
    Base, BuildError, BuildListener, BuildRequest, BuildTitle, Builder, Built, Imports,
    NamedContext, Plan, StepNetwork, redacted,
};
use corten_dockerfile::{BuildInputs, Dockerfile, IgnoreFile};
use corten_layer::Compression;
use corten_spec::{
    AnyDocument, Descriptor, Document, Index, Manifest, MediaType, Platform, RefName,
};
use corten_store::{Pusher as _, Tagger as _};
use schemars::JsonSchema;
use serde::Serialize;

pub use attested::{AttestWords, AttestationReport, ProvenanceMode};
pub use outputs::{BuildOutput, LoadInto};

pub use elsewhere::{FetchedContext, fetch_context};
pub(super) use elsewhere::{KeptSource, forget_fetched, kept_sources};
pub use granted::{AgentWord, GrantWords};
pub use looking::{
    AdviceReport, ArgReport, BuildCheckReport, NeedReport, OutlineReport, TargetReport,
    TargetsReport, build_check, build_outline, build_targets,
};

use super::cache::{self, CachePlace, CacheTo};
use super::import::{put_config, write};
use super::ready::Pull;
use crate::failure::ContainerFailure;
use crate::{Context, Failure};
use attested::{Facts, attested};
use bases::Images;
use elsewhere::Elsewhere;
use given::{contexts, read, values};
pub(super) use given::{secrets, times, times_of_environment};
pub(super) use granted::grants;

/// Where the builder keeps its things, below the local store.
pub(super) const BUILD: &str = ".corten/build";

/// A context by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextWord {
    /// A directory.
    Directory(PathBuf),
    /// An image at a place.
    Image(String),
    /// An archive or a repository elsewhere.
    Address(String),
    /// The directory that was made of one.
    Fetched(PathBuf),
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretWord {
    /// In a file.
    File(PathBuf),
    /// In a variable of this process.
    Variable(String),
}

/// The network of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StepWord {
    /// One of their own with a way out, where one can be had.
    #[default]
    Default,
    /// None.
    None,
    /// The machine's.
    Host,
}

impl From<StepWord> for StepNetwork {
    fn from(word: StepWord) -> Self {
        match word {
            StepWord::Default => Self::Private,
            StepWord::None => Self::None,
            StepWord::Host => Self::Host,
        }
    }
}

/// What is asked of `build`.
#[derive(Clone, Debug)]
pub struct BuildWanted {
    /// The directory of the context; before [`fetch_context`] also an address, or `-` for standard input.
    pub context: PathBuf,
    /// The Dockerfile; that of the context if absent. `-` is standard input.
    pub file: Option<PathBuf>,
    /// Names of the image in the local store.
    pub tags: Vec<RefName>,
    /// Build arguments; one without a value has that of the environment.
    pub args: Vec<(String, Option<String>)>,
    /// The stage to build.
    pub target: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is built for; this machine's platform if there is none. Several become an index.
    pub platforms: Vec<Platform>,
    /// Whether every step is carried out.
    pub no_cache: bool,
    /// When registries are asked.
    pub pull: Pull,
    /// The network of steps.
    pub network: StepWord,
    /// Named contexts.
    pub contexts: BTreeMap<String, ContextWord>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretWord>,
    /// Whether times are those of the clock.
    pub real_times: bool,
    /// How layers are packed.
    pub compression: Compression,
    /// Where the image goes besides the local store.
    pub outputs: Vec<BuildOutput>,
    /// What is attested of the image.
    pub attest: AttestWords,
    /// What steps may have besides.
    pub grants: GrantWords,
    /// What [`fetch_context`] made the context of.
    pub fetched: Option<FetchedContext>,
    /// Most bytes that the builder's cache has after it; what the configuration says if absent.
    pub cache_max: Option<u64>,
    /// Where its cache goes.
    pub cache_to: Vec<CacheTo>,
    /// Caches that it takes from.
    pub cache_from: Vec<CachePlace>,
}

impl BuildWanted {
    /// What is asked of a build where nothing but the context is said.
    pub fn of(context: PathBuf) -> Self {
        Self {
            context,
            file: None,
            tags: Vec::new(),
            args: Vec::new(),
            target: None,
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            no_cache: false,
            pull: Pull::Missing,
            network: StepWord::Default,
            contexts: BTreeMap::new(),
            secrets: BTreeMap::new(),
            real_times: false,
            compression: Compression::Gzip,
            outputs: Vec::new(),
            attest: AttestWords::default(),
            grants: GrantWords::default(),
            fetched: None,
            cache_max: None,
            cache_to: Vec::new(),
            cache_from: Vec::new(),
        }
    }
}

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

/// What was built, in the store and without a name.
struct Kept {
    report: BuildReport,
    document: AnyDocument,
    /// The image of each platform.
    entries: Vec<Descriptor>,
    /// Keeps the layers of bases until there is a name.
    held: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Writes the documents of what was built: an image, or an index of several.
async fn kept(
    context: &Context,
    all: Vec<Built>,
    tags: &[RefName],
    shown: &str,
) -> Result<Kept, Failure> {
    let store = context.store()?;
    let (ran, cached) = all.iter().fold((0, 0), |sum, one| (sum.0 + one.ran, sum.1 + one.cached));
    let (mut images, mut entries, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let mut only = None;
    for built in all {
        let platform = built.config.platform.clone();
        let config = write(shown, MediaType::OCI_CONFIG, built.config)?;
        put_config(&store, &config).await?;
        let layers: Vec<_> = built.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let count = layers.len();
        let manifest = Manifest::image(config.descriptor().clone(), layers);
        let manifest: Document<Manifest> = write(shown, MediaType::OCI_MANIFEST, manifest)?;
        images.push(BuiltImage {
            platform: platform.to_string(),
            digest: manifest.digest().to_string(),
            config: config.digest().to_string(),
            layers: count,
        });
        let mut entry = manifest.descriptor().clone();
        entry.platform = Some(platform);
        entries.push(entry);
        let document = AnyDocument::Manifest(manifest);
        store.push(&document).await?;
        only = Some(document);
        held.extend(built.held);
    }
    let (document, id) = match (only, images.as_slice()) {
        (Some(document), [image]) => (document, image.config.clone()),
        _ => {
            let index: Document<Index> =
                write(shown, MediaType::OCI_INDEX, Index::new(entries.clone()))?;
            let id = index.digest().to_string();
            let document = AnyDocument::Index(index);
            store.push(&document).await?;
            (document, id)
        }
    };
    let report = BuildReport {
        names: tags.iter().map(ToString::to_string).collect(),
        digest: document.descriptor().digest.to_string(),
        config: id,
        images,
        ran,
        cached,
        attestations: Vec::new(),
        outputs: Vec::new(),
        caches: Vec::new(),
    };
    Ok(Kept { report, document, entries, held })
}

/// A failure with the line that it is of.
fn failure(shown: &str, file: &Dockerfile, error: BuildError) -> Failure {
    let line = error.span().and_then(|span| file.line(span.start.line)).map(str::to_owned);
    broken(shown, line.as_deref(), error)
}

fn broken(file: &str, line: Option<&str>, error: BuildError) -> Failure {
    let mut shown = String::new();
    if let (Some(span), Some(line)) = (error.span(), line) {
        let line = redacted(line);
        let number = span.start.line.to_string();
        let indent = " ".repeat(number.len());
        let column = span.start.column.saturating_sub(1);
        let caret: String =
            line.chars().take(column).map(|c| if c == '\t' { c } else { ' ' }).collect();
        shown = format!("{number} | {line}\n{indent} | {caret}^\n");
    }
    if let Some((_, output)) = error.process() {
        shown.push_str("the last lines that it wrote:\n");
        output.iter().for_each(|line| shown.push_str(&format!("  {line}\n")));
    }
    Failure::Container(ContainerFailure::Build {
        file: file.to_owned(),
        error: Box::new(error),
        shown,
    })
}
