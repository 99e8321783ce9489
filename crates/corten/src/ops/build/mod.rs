//! `build`: an image of a Dockerfile and a context, in the local store.

pub(super) mod bases;
mod looking;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use corten_build::{
    Base, BuildError, BuildListener, BuildRequest, Builder, Built, NamedContext, Plan, SecretValue,
    StepNetwork, Times, read_ignore,
};
use corten_dockerfile::{BuildInputs, Dockerfile, IgnoreFile, MAX_DOCKERFILE, PlatformValues};
use corten_layer::Compression;
use corten_spec::{AnyDocument, Document, Manifest, MediaType, Platform, RefName};
use corten_store::{Pusher as _, Tagger as _};
use schemars::JsonSchema;
use serde::Serialize;

pub use looking::{
    AdviceReport, ArgReport, BuildCheckReport, NeedReport, OutlineReport, TargetReport,
    TargetsReport, build_check, build_outline, build_targets,
};

use super::import::{put_config, write};
use super::ready::Pull;
use crate::failure::ContainerFailure;
use crate::{Context, Failure};
use bases::Images;

/// Where the builder keeps its things, below the local store.
pub(super) const BUILD: &str = ".corten/build";
/// Most bytes of a secret.
const MAX_SECRET: u64 = 1024 * 1024;

/// A context by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextWord {
    /// A directory.
    Directory(PathBuf),
    /// An image at a place.
    Image(String),
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
    /// The directory of the context.
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
    /// What is built for.
    pub platform: Option<Platform>,
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
}

/// What was built.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BuildReport {
    /// Names that it has in the local store.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its config: the image's ID.
    pub config: String,
    /// How many layers it has.
    pub layers: usize,
    /// How many steps were carried out.
    pub ran: usize,
    /// How many steps were in the cache.
    pub cached: usize,
}

/// Who is told what happens in a build.
pub type BuildTold = Arc<dyn BuildListener + Send + Sync>;

/// A Dockerfile that was read.
pub(super) struct Read {
    pub(super) file: Dockerfile,
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
    let ours = context.platform();
    if let Some(platform) = &wanted.platform
        && platform.normalized().fitness(&ours.normalized()).is_none()
    {
        let text = format!("--platform {platform}: this machine builds for {ours} alone");
        return Err(Failure::Usage(text));
    }
    let read = read(context, &wanted)?;
    let names: Vec<&str> = wanted.contexts.keys().map(String::as_str).collect();
    let shown = read.shown.clone();
    let text = read.file.clone();
    let plan = Plan::new(read.file, read.inputs.clone(), wanted.target.as_deref(), &names)
        .map_err(|error| failure(&shown, &text, error))?;
    let request = BuildRequest {
        context: wanted.context.clone(),
        ignore: read.ignore,
        contexts: contexts(&wanted),
        secrets: secrets(context, &wanted.secrets)?,
        labels: wanted.labels.clone(),
        network: wanted.network.into(),
        no_cache: wanted.no_cache,
        times: times(context, &read.inputs, wanted.real_times)?,
        compression: wanted.compression,
    };
    let images = (wanted.pull, BTreeMap::new());
    let built = carry_out(context, plan, request, images, told).await?;
    let built = built.map_err(|error| failure(&shown, &text, error))?;
    named(context, built, &wanted.tags, &shown).await
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
        NamedContext::Directory(_) => None,
    });
    let bases = Images { asking, places: places.collect(), own };
    let store = context.store()?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let (snapshots, powers) = (context.snapshots()?, context.powers());
    let form = context.form(&snapshots);
    let (platform, now) = (context.platform(), context.now());
    let (leases, programs) = (context.leases(), context.programs());
    let thread = tokio::task::spawn_blocking(move || {
        let builder = Builder {
            place: store.path().join(BUILD),
            store,
            snapshots,
            form,
            powers,
            platform,
            bases: &bases,
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

/// Writes the documents of what was built, and names it.
async fn named(
    context: &Context,
    built: Built,
    tags: &[RefName],
    shown: &str,
) -> Result<BuildReport, Failure> {
    let store = context.store()?;
    let config = write(shown, MediaType::OCI_CONFIG, built.config)?;
    put_config(&store, &config).await?;
    let layers = built.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let manifest = Manifest::image(config.descriptor().clone(), layers);
    let manifest: Document<Manifest> = write(shown, MediaType::OCI_MANIFEST, manifest)?;
    let digest = manifest.digest().to_string();
    let document = AnyDocument::Manifest(manifest);
    store.push(&document).await?;
    for tag in tags {
        store.tag(tag, &document).await?;
    }
    drop(built.held);
    Ok(BuildReport {
        names: tags.iter().map(ToString::to_string).collect(),
        digest,
        config: config.digest().to_string(),
        layers: built.layers.len(),
        ran: built.ran,
        cached: built.cached,
    })
}

/// Reads the Dockerfile, what its context leaves out, and what it is given.
pub(super) fn read(context: &Context, wanted: &BuildWanted) -> Result<Read, Failure> {
    use std::io::Read as _;
    let is_stdin = wanted.file.as_deref().is_some_and(|path| path.as_os_str() == "-");
    let path = wanted.file.clone().unwrap_or_else(|| wanted.context.join("Dockerfile"));
    let shown = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source| Failure::Io { object: shown.clone(), action: "reading", source };
    if !wanted.context.is_dir() {
        let text = format!("{}: a context is a directory", wanted.context.display());
        return Err(Failure::Usage(text));
    }
    let mut bytes = Vec::new();
    let limit = MAX_DOCKERFILE as u64 + 1;
    if is_stdin {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(&path).map_err(failed)?;
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    let file = Dockerfile::parse(&bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().nth(error.span().start.line.saturating_sub(1)).map(str::to_owned);
        broken(&shown, line.as_deref(), BuildError::Dockerfile(error))
    })?;
    let beside = (!is_stdin).then_some(path.as_path());
    let ignore = read_ignore(&wanted.context, beside).map_err(|error| Failure::Io {
        object: "the ignore file".to_owned(),
        action: "reading",
        source: std::io::Error::other(error),
    })?;
    Ok(Read { file, ignore, inputs: inputs(context, wanted), shown })
}

fn inputs(context: &Context, wanted: &BuildWanted) -> BuildInputs {
    let platform = context.platform();
    let values = PlatformValues {
        os: platform.os.clone(),
        os_version: String::new(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
    };
    let args = wanted.args.iter().filter_map(|(name, value)| {
        let value = value.clone().or_else(|| context.environment().set(name).map(str::to_owned));
        Some((name.clone(), value?))
    });
    BuildInputs {
        args: args.collect(),
        build: values.clone(),
        target: values,
        stage: wanted.target.clone().unwrap_or_default(),
    }
}

/// `SOURCE_DATE_EPOCH` as an argument, else of the environment, else the epoch itself.
pub(super) fn times(
    context: &Context,
    inputs: &BuildInputs,
    is_real: bool,
) -> Result<Times, Failure> {
    if is_real {
        let now = context.now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or_default();
        return Ok(Times::Real(now));
    }
    let given = inputs.args.get("SOURCE_DATE_EPOCH").map(String::as_str);
    let given = given.or_else(|| context.environment().variable("SOURCE_DATE_EPOCH"));
    let text = given.filter(|text| !text.is_empty()).unwrap_or("0");
    text.parse()
        .map(Times::Until)
        .map_err(|_| Failure::Usage(format!("SOURCE_DATE_EPOCH '{text}' is no number of seconds")))
}

fn contexts(wanted: &BuildWanted) -> BTreeMap<String, NamedContext> {
    let one = |word: &ContextWord| match word {
        ContextWord::Directory(path) => NamedContext::Directory(path.clone()),
        ContextWord::Image(place) => NamedContext::Image(place.clone()),
    };
    wanted.contexts.iter().map(|(name, word)| (name.clone(), one(word))).collect()
}

pub(super) fn secrets(
    context: &Context,
    words: &BTreeMap<String, SecretWord>,
) -> Result<BTreeMap<String, SecretValue>, Failure> {
    use std::io::Read as _;
    let one = |(id, word): (&String, &SecretWord)| -> Result<(String, SecretValue), Failure> {
        let value = match word {
            SecretWord::File(path) => {
                let object = path.display().to_string();
                let failed = |source| Failure::Io { object, action: "reading", source };
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut bytes))
                    .map_err(failed)?;
                if bytes.len() as u64 > MAX_SECRET {
                    let path = path.display();
                    let text =
                        format!("--secret id={id}: {path} is larger than {MAX_SECRET} bytes");
                    return Err(Failure::Usage(text));
                }
                bytes
            }
            SecretWord::Variable(name) => {
                let value = context.environment().set(name);
                let missing = || Failure::Usage(format!("--secret id={id}: {name} is not set"));
                value.ok_or_else(missing)?.as_bytes().to_vec()
            }
        };
        Ok((id.clone(), SecretValue(value)))
    };
    words.iter().map(one).collect()
}

/// A failure with the line that it is of.
fn failure(shown: &str, file: &Dockerfile, error: BuildError) -> Failure {
    let line = error.span().and_then(|span| file.line(span.start.line)).map(str::to_owned);
    broken(shown, line.as_deref(), error)
}

fn broken(file: &str, line: Option<&str>, error: BuildError) -> Failure {
    let mut shown = String::new();
    if let (Some(span), Some(line)) = (error.span(), line) {
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
