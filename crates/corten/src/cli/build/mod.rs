//! `corten build`: an image of a Dockerfile.

mod attesting;
mod cache_places;
mod granted;
mod questions;
mod words;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use corten_spec::Platform;
use serde_json::json;

use super::import::CompressionWord;
use super::project::{self, ProjectArgs};
use super::steps::{self, StepVerb, WorkArgs};
use super::watching::{ProgressWord, watching};
use super::{Context, Exit, Failure};
use crate::ops::{self, BuildOutput, BuildWanted, LoadInto, Pull, StepWord};
use crate::output::{print, print_json};
use attesting::AttestArgs;
use cache_places::{cache_from, cache_to};
use granted::GrantArgs;
use questions::{check, outline, targets};
pub(super) use words::secret;
use words::{named, output};

/// Build an image of a Dockerfile, of a project, or step by step
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
The image goes into the local store. The same input gives the same digest: times are those of SOURCE_DATE_EPOCH, \
else 1970. Steps whose input is as it was are taken from the cache.

Examples:
  corten build -t app .
  corten build -t app -f build/Dockerfile --target release --build-arg VERSION=1.2 .
  corten build -t app --secret id=token,env=TOKEN --network none .
  corten build -t app https://host/repo.git#v1.2:dir
  corten build --check .

Step by step, each word one change; ./begin is a directory of that name:
  corten build begin debian:13 && corten build run -- apt-get update && corten build write -t app"
)]
pub(super) struct BuildArgs {
    #[command(subcommand)]
    step: Option<StepVerb>,
    /// The context that COPY and ADD take from: a directory, a tar or a repository at an address, - for one on
    /// standard input.
    #[arg(default_value = ".")]
    context: PathBuf,
    /// The Dockerfile: a file, an address, or - for standard input [default: CONTEXT/Dockerfile].
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A name of the image in the local store; may repeat.
    #[arg(long, short, value_name = "NAME")]
    tag: Vec<String>,
    /// A build argument; without a value, that of the environment; may repeat.
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The stage to build [default: the last].
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// A label; may repeat.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// What the image is for [default: this machine's platform]; several, by commas, become an index.
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Where the image goes besides the store: type=oci|docker|local|tar|registry,dest=PATH; DIR; -; may repeat.
    #[arg(long, short, value_name = "OUTPUT")]
    output: Vec<String>,
    /// Send the image to the registry of each of its names: -o type=registry.
    #[arg(long)]
    push: bool,
    /// Load the image into an engine that runs here: docker or podman.
    #[arg(long, value_enum, value_name = "ENGINE", num_args = 0..=1, require_equals = true, default_missing_value = "docker")]
    load: Option<LoadInto>,
    /// Where the cache goes: type=registry,ref=NAME or type=local,dest=DIR, with mode=min, mounts=true; may repeat.
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// A cache to take from: type=registry,ref=NAME or type=local,src=DIR; may repeat.
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Most bytes of the builder's cache after the build, such as 10g; what was not used for longest goes first.
    #[arg(long, value_name = "SIZE", value_parser = super::words::size)]
    cache_max: Option<u64>,
    /// Carry out every step, whatever is cached.
    #[arg(long)]
    no_cache: bool,
    /// Ask registries for bases that the local store has.
    #[arg(long)]
    pull: bool,
    /// The network of RUN: default (one of its own), none or host.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = StepWord::Default, hide_possible_values = true)]
    network: StepWord,
    /// A context by name: a directory, an address, oci-layout://DIR[:NAME] or docker-image://NAME; may repeat.
    #[arg(long, value_name = "NAME=WHERE")]
    build_context: Vec<String>,
    /// A secret for RUN --mount=type=secret: id=ID,src=FILE or id=ID,env=VARIABLE; may repeat.
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    attest: AttestArgs,
    /// Tell what could be better, and build nothing.
    #[arg(long)]
    check: bool,
    /// What to do: build, check, outline or targets.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Call::Build, hide_possible_values = true)]
    call: Call,
    /// Times of files and history: epoch (the same every time) or real.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = TimesWord::Epoch, hide_possible_values = true)]
    timestamps: TimesWord,
    /// How layers are packed: gzip (read by everything), zstd (smaller and faster) or none.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CompressionWord::Gzip, hide_possible_values = true)]
    compression: CompressionWord,
    /// A file for the image's ID, the digest of its config.
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// A file for the digests as JSON.
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// How progress is told on standard error: auto (a tree on a terminal), tty, plain, json or quiet.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressWord::Auto, hide_possible_values = true)]
    progress: ProgressWord,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    work: WorkArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Call {
    Build,
    Check,
    Outline,
    Targets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TimesWord {
    Epoch,
    Real,
}

impl BuildArgs {
    /// Whether anything is built, and not only read.
    pub(super) fn builds(&self) -> bool {
        self.step.is_some() || (self.call == Call::Build && !self.check)
    }

    fn wanted(&self) -> Result<BuildWanted, Failure> {
        let argument = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        let label = |text: &String| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        };
        Ok(BuildWanted {
            context: self.context.clone(),
            file: self.file.clone(),
            tags: self
                .tag
                .iter()
                .map(|tag| super::copy::store_name(tag))
                .collect::<Result<_, _>>()?,
            args: self.build_arg.iter().map(argument).collect(),
            target: self.target.clone(),
            labels: self.label.iter().map(label).collect(),
            platforms: self.platform.clone(),
            no_cache: self.no_cache,
            pull: if self.pull { Pull::Always } else { Pull::Missing },
            network: self.network,
            contexts: self
                .build_context
                .iter()
                .map(|text| named(text))
                .collect::<Result<_, _>>()?,
            secrets: self.secret.iter().map(|text| secret(text)).collect::<Result<_, _>>()?,
            real_times: self.timestamps == TimesWord::Real,
            compression: self.compression.into(),
            outputs: self.outputs()?,
            attest: self.attest.wanted()?,
            grants: self.grants.wanted()?,
            fetched: None,
            cache_max: self.cache_max,
            cache_to: self.cache_to.iter().map(|text| cache_to(text)).collect::<Result<_, _>>()?,
            cache_from: self
                .cache_from
                .iter()
                .map(|text| cache_from(text))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl BuildArgs {
    fn outputs(&self) -> Result<Vec<BuildOutput>, Failure> {
        let mut outputs: Vec<BuildOutput> =
            self.output.iter().map(|text| output(text)).collect::<Result<_, _>>()?;
        outputs.extend(self.load.map(BuildOutput::Engine));
        outputs.extend(self.push.then_some(BuildOutput::Registry));
        Ok(outputs)
    }
}

/// The image of a directory that says how it is built: `./`, `../` and `/` at its beginning tell it from a name.
pub(super) async fn of_directory(
    context: &Context,
    image: &str,
) -> Result<Option<String>, Failure> {
    let path = std::path::Path::new(image);
    let is_path =
        path.is_absolute() || image.starts_with("./") || image.starts_with("../") || image == ".";
    if !is_path || !path.is_dir() {
        return Ok(None);
    }
    let wanted = BuildWanted::of(path.to_owned());
    let watching = watching(context, ProgressWord::Auto)?;
    let told = watching.listener();
    let digest = match ops::project_file(&wanted) {
        None => ops::build(context, wanted, told).await?.digest,
        Some(file) => {
            let wanted = BuildWanted { file: Some(file), ..wanted };
            project::build(context, (wanted, ProjectArgs::default()), told).await?.digest
        }
    };
    Ok(Some(format!("store:@{digest}")))
}

pub(super) async fn build(context: &Context, args: BuildArgs, json: bool) -> Result<Exit, Failure> {
    if let Some(step) = args.step {
        return steps::step(context, step, &args.work, json).await;
    }
    let mut wanted = args.wanted()?;
    let word = if args.builds() { args.progress } else { ProgressWord::Plain };
    let watching = watching(context, word)?;
    ops::fetch_context(context, &mut wanted).await?;
    match args.call {
        _ if args.check => return check(context, &wanted, json),
        Call::Check => return check(context, &wanted, json),
        Call::Outline => return outline(context, &wanted, json),
        Call::Targets => return targets(context, &wanted, json),
        Call::Build => {}
    }
    let is_silent = wanted.outputs.iter().any(BuildOutput::is_standard_output);
    if let Some(file) = ops::project_file(&wanted) {
        args.attest.none()?;
        let wanted = BuildWanted { file: Some(file), ..wanted };
        let wanted = (wanted, args.project.clone());
        let report = project::build(context, wanted, watching.listener()).await?;
        drop(watching);
        written(&args, (&report.names, &report.digest, &report.config))?;
        return if is_silent { Ok(Exit::Done) } else { project::told(&report, json) };
    }
    args.project.none()?;
    let report = ops::build(context, wanted, watching.listener()).await?;
    drop(watching);
    written(&args, (&report.names, &report.digest, &report.config))?;
    if is_silent {
        return Ok(Exit::Done);
    }
    if json {
        print_json(&report)?;
    } else {
        let names: String = report.names.iter().map(|name| format!("{name}\n")).collect();
        let attested = report.attestations.iter().map(|one| {
            format!("attested {} of {} by {}\n", one.predicate_type, one.platform, one.digest)
        });
        let attested: String = attested.collect();
        print(&format!("{names}{}\n{attested}", report.digest))?;
    }
    Ok(Exit::Done)
}

/// Writes the files that are asked for.
fn written(
    args: &BuildArgs,
    (names, digest, config): (&[String], &str, &str),
) -> Result<(), Failure> {
    if let Some(path) = &args.iidfile {
        write(path, config)?;
    }
    if let Some(path) = &args.metadata_file {
        let digests = json!({
            "containerimage.digest": digest,
            "containerimage.config.digest": config,
            "image.name": names.join(","),
        });
        write(path, &format!("{digests:#}\n"))?;
    }
    Ok(())
}

/// Writes a file whole; its directory may be anybody's, so no link is followed, and what is no plain file is not
/// replaced.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |source| Failure::Io { object: path.display().to_string(), action: "writing", source };
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(failed(std::io::Error::other("it is there and is no plain file")));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // As any new file: the umask narrows it.
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}
