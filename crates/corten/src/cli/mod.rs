//! The command line: arguments in, one verb run, an exit code out.

mod append;
mod build;
mod cache;
mod commit;
mod completion;
mod containers;
mod copy;
mod cp;
mod diff;
mod doctor;
mod edit;
mod import;
mod inspect;
mod local;
mod login;
mod look;
mod members;
mod mount;
mod oci;
mod page;
mod pod;
mod project;
mod reference;
mod run;
mod settings;
mod steps;
mod store;
mod unit;
mod validate;
mod volume;
mod watching;
mod words;

pub(crate) use words::size;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use corten_store::{Progress, Silent};

use crate::config::InsecureWord;
use crate::output::{Bars, Lines};
use crate::plain::plain;
use crate::{Context, Environment, Exit, Failure};
use crate::{ops, rootless};

/// Make, move, look at and check OCI images.
#[derive(Parser)]
#[command(name = "corten", version, disable_help_subcommand = true, max_term_width = 100)]
struct Command {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The heading of the options that every verb takes.
const EVERYWHERE: &str = "Options of every verb";

/// Options that every verb takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = EVERYWHERE)]
pub(crate) struct Global {
    /// Print the report as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The local store [default: $CORTEN_STORE, else the configuration's, else
    /// ~/.local/share/corten/store].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Blobs in flight at once, 1 to 64 [default: 4].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: Option<u8>,
    /// How to speak to registries without checked TLS: http, or skip-verify (TLS, any certificate).
    #[arg(long, global = true, value_name = "HOW", hide_possible_values = true)]
    pub(crate) insecure: Option<InsecureWord>,
    /// Take images whose manifest, index or config two readers could read as two things.
    #[arg(long, global = true)]
    pub(crate) allow_ambiguous: bool,
    /// File of credentials [default: those of Docker and of the containers tools].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Configuration file [default: ~/.config/corten/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Image(ImageVerb),
    #[command(flatten)]
    Container(containers::ContainerVerb),
    Oci(Box<oci::OciArgs>),
}

impl Verb {
    /// Whether the exit code is that of a process in a container.
    fn runs_a_process(&self) -> bool {
        matches!(self, Self::Container(verb) if verb.runs_a_process())
    }

    /// For an ordinary user: becomes the root of a user namespace where the verb needs one. Then the
    /// environment is another one.
    fn become_root(&self, context: &Context) -> Result<Option<Environment>, Failure> {
        let own = || rootless::enter().map(Environment::of_its_namespace).map(Some);
        match self {
            Self::Image(ImageVerb::Gc(_) | ImageVerb::Store(_)) => own(),
            Self::Image(ImageVerb::Build(args)) if args.builds() => own(),
            Self::Image(ImageVerb::Cache(args)) if args.needs_root() => own(),
            Self::Container(verb) => match verb.needs_root() {
                containers::NeedsRoot::Own => own(),
                containers::NeedsRoot::Of(name) => match ops::first_process(context, name)? {
                    Some(pid) => rootless::join(pid).map(|()| None),
                    None => Ok(None),
                },
                containers::NeedsRoot::At(name) => match ops::first_process(context, name)? {
                    Some(pid) => rootless::join(pid).map(|()| None),
                    None => own(),
                },
                containers::NeedsRoot::No => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

/// Verbs about images and where they are.
#[derive(Subcommand)]
enum ImageVerb {
    Build(Box<build::BuildArgs>),
    Import(Box<import::ImportArgs>),
    Edit(Box<edit::ImageEditArgs>),
    Append(append::AppendArgs),
    Export(look::ExportArgs),
    Copy(copy::CopyArgs),
    Pull(copy::PullArgs),
    Push(copy::PushArgs),
    Images(local::ImagesArgs),
    Tag(local::TagArgs),
    Remove(local::RemoveArgs),
    Gc(local::GcArgs),
    Cache(cache::CacheArgs),
    Store(store::StoreArgs),
    Doctor(doctor::DoctorArgs),
    Inspect(inspect::InspectArgs),
    Ls(look::LsArgs),
    Cat(look::CatArgs),
    Diff(diff::DiffArgs),
    Tags(inspect::TagsArgs),
    Unpack(mount::UnpackArgs),
    Bundle(Box<mount::BundleArgs>),
    Mount(mount::MountArgs),
    Unmount(mount::UnmountArgs),
    Validate(validate::ValidateArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Completion(completion::CompletionArgs),
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

/// The whole command line, for completion and for the generated reference.
pub fn command() -> clap::Command {
    let command = Command::command();
    let page = page::page(&command);
    command.override_help(page)
}

/// How a verb ended: with an exit code of its own, or with that of a process it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The verb's own.
    Verb(Exit),
    /// That of a process in a container.
    Process(u8),
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Verb(exit) => exit.code(),
            Self::Process(code) => code,
        }
    }
}

/// A monitor has nobody to tell anything.
const MONITOR: ops::Recipes = ops::Recipes { tell: |_| {} };

/// Runs the command with the process's own arguments and environment.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // This program run again as a stage of a container: it must be alone with its first thread.
    if let Some(code) = corten_engine::stage(&words) {
        return code;
    }
    if let Some(code) = corten_run::guard(&words) {
        return code;
    }
    if let Some(code) = corten_run::monitor(&words, crate::context::clock, &MONITOR, &MONITOR) {
        return code;
    }
    if let Some(code) = ops::apart(&words) {
        return code;
    }
    let words = oci::by_name(words);
    // The page of all verbs is laid out only for those who get it.
    let parsed = Command::command().try_get_matches_from(&words);
    let matches = match parsed.or_else(|_| command().try_get_matches_from(&words)) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            let usage = error.use_stderr();
            return ExitCode::from(if usage { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let command = match Command::from_arg_matches(&matches) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let runs = command.verb.runs_a_process();
    match run(command) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        // A reader that went away (`corten … | head`) has what it wanted.
        Err(Failure::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
            ExitCode::from(Exit::Done.code())
        }
        Err(failure) => {
            complain(&failure);
            // Codes below 125 are those of the process.
            ExitCode::from(if runs { failure.container_exit() } else { failure.exit().code() })
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    let environment = Environment::of_this_process();
    let command = match command {
        // Its callers wait for it: neither a context nor threads are made.
        Command { verb: Verb::Oci(args), .. } => return oci::oci(*args, &environment),
        other => other,
    };
    let progress = progress(&command.global);
    let tell: fn(&str) = if command.global.quiet { |_| {} } else { crate::output::note };
    let mut context = Context::new(&environment, &command.global, Arc::clone(&progress), tell)?;
    if rootless::is_ordinary() {
        // Before any thread starts: a process with threads enters no user namespace.
        if let Some(environment) = command.verb.become_root(&context)? {
            context = Context::new(&environment, &command.global, progress, tell)?;
        }
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| {
            Failure::Io { object: "the runtime".to_owned(), action: "starting", source }
        })?;
    let exit = runtime.block_on(dispatch(&context, command.verb, command.global.json));
    let exit = exit.map_err(|failure| context.advice().apply(failure));
    // A reader of standard input may still sit in a system call; there is nothing to wait for.
    runtime.shutdown_background();
    exit
}

async fn dispatch(context: &Context, verb: Verb, json: bool) -> Result<Outcome, Failure> {
    match verb {
        Verb::Image(verb) => of_images(context, verb, json).await.map(Outcome::Verb),
        Verb::Container(verb) => containers::dispatch(context, verb, json).await,
        Verb::Oci(args) => oci::oci(*args, context.environment()),
    }
}

async fn of_images(context: &Context, verb: ImageVerb, json: bool) -> Result<Exit, Failure> {
    match verb {
        ImageVerb::Build(args) => build::build(context, *args, json).await,
        ImageVerb::Import(args) => import::import(context, *args, json).await,
        ImageVerb::Edit(args) => edit::edit(context, *args, json).await,
        ImageVerb::Append(args) => append::append(context, args, json).await,
        ImageVerb::Export(args) => look::export(context, args, json).await,
        ImageVerb::Copy(args) => copy::copy(context, args, json).await,
        ImageVerb::Pull(args) => copy::pull(context, args, json).await,
        ImageVerb::Push(args) => copy::push(context, args, json).await,
        ImageVerb::Images(args) => local::images(context, &args, json).await,
        ImageVerb::Tag(args) => local::tag(context, &args, json).await,
        ImageVerb::Remove(args) => local::remove(context, args, json).await,
        ImageVerb::Gc(args) => local::gc(context, &args, json).await,
        ImageVerb::Cache(args) => cache::cache(context, args, json).await,
        ImageVerb::Store(args) => store::store(context, args, json).await,
        ImageVerb::Doctor(args) => doctor::doctor(context, &args, json),
        ImageVerb::Inspect(args) => inspect::inspect(context, args, json).await,
        ImageVerb::Ls(args) => look::ls(context, args, json).await,
        ImageVerb::Cat(args) => look::cat(context, args).await,
        ImageVerb::Diff(args) => diff::diff(context, args, json).await,
        ImageVerb::Unpack(args) => mount::unpack(context, args, json).await,
        ImageVerb::Bundle(args) => mount::bundle(context, *args, json).await,
        ImageVerb::Mount(args) => mount::mount(context, args, json).await,
        ImageVerb::Unmount(args) => mount::unmount(context, &args, json).await,
        ImageVerb::Tags(args) => inspect::tags(context, &args, json).await,
        ImageVerb::Validate(args) => validate::validate(context, args, json).await,
        ImageVerb::Login(args) => login::login(context, args, json).await,
        ImageVerb::Logout(args) => login::logout(context, &args, json).await,
        ImageVerb::Completion(args) => completion::completion(&args),
        ImageVerb::Reference(args) => reference::reference(&args),
    }
}

fn progress(global: &Global) -> Arc<dyn Progress> {
    if global.quiet {
        Arc::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bars::new())
    } else {
        Arc::new(Lines)
    }
}

/// The same as an object on one line, where standard error is for programs.
fn complain_json(failure: &Failure) {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let shown = match failure {
        Failure::Container(failure) => failure.shown(),
        _ => "",
    };
    crate::output::write_json(&serde_json::json!({
        "event": "error", "text": failure.to_string(), "because": causes, "shown": shown,
        "hint": failure.hint().map(|hint| hint.to_string()),
    }));
}

/// The chain of causes once, then the hint. The texts may hold what a registry or an image says:
/// a line of theirs never begins where one of ours does, nor does a control sequence get through.
fn complain(failure: &Failure) {
    if crate::output::is_json() {
        return complain_json(failure);
    }
    let mut err = std::io::stderr().lock();
    let mut tell = |text: &str| {
        let mut lines = text.lines().map(plain);
        let _ = writeln!(err, "{}", lines.next().unwrap_or_default());
        lines.for_each(|line| drop(writeln!(err, "    {line}")));
    };
    let mut said = failure.to_string();
    tell(&format!("error: {said}"));
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            tell(&format!("  because: {text}"));
            said = text;
        }
        cause = error.source();
    }
    if let Failure::Container(failure) = failure {
        for line in failure.shown().lines() {
            tell(&format!("  {line}"));
        }
    }
    if let Some(hint) = failure.hint() {
        tell(&format!("  hint: {hint}"));
    }
}
