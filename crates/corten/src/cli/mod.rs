//! The command line: arguments in, one verb run, an exit code out.

mod completion;
mod copy;
mod diff;
mod import;
mod inspect;
mod local;
mod login;
mod look;
mod mount;
mod oci;
mod page;
mod reference;
mod store;
mod validate;

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
    /// File of credentials [default: those of Docker and of the containers tools].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Configuration file [default: ~/.config/corten/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    Import(Box<import::ImportArgs>),
    Export(look::ExportArgs),
    Copy(copy::CopyArgs),
    Pull(copy::PullArgs),
    Push(copy::PushArgs),
    Images(local::ImagesArgs),
    Tag(local::TagArgs),
    Remove(local::RemoveArgs),
    Gc(local::GcArgs),
    Store(store::StoreArgs),
    Inspect(inspect::InspectArgs),
    Ls(look::LsArgs),
    Cat(look::CatArgs),
    Diff(diff::DiffArgs),
    Tags(inspect::TagsArgs),
    Unpack(mount::UnpackArgs),
    Mount(mount::MountArgs),
    Unmount(mount::UnmountArgs),
    Validate(validate::ValidateArgs),
    Oci(Box<oci::OciArgs>),
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

/// Runs the command with the process's own arguments and environment.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // This program run again as a stage of a container: it must be alone with its first thread.
    if let Some(code) = corten_engine::stage(&words) {
        return code;
    }
    let matches = match command().try_get_matches_from(oci::by_name(words)) {
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
    match run(command) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        // A reader that went away (`corten … | head`) has what it wanted.
        Err(Failure::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
            ExitCode::from(Exit::Done.code())
        }
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit().code())
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    let environment = Environment::of_this_process();
    let command = match command {
        // It knows nothing of stores and registries, and its callers wait for it.
        Command { verb: Verb::Oci(args), .. } => return oci::oci(*args, &environment),
        other => other,
    };
    let progress = progress(&command.global);
    let context = Context::new(&environment, &command.global, progress)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| {
            Failure::Io { object: "the runtime".to_owned(), action: "starting", source }
        })?;
    let exit = runtime.block_on(dispatch(&context, command));
    let exit = exit.map(Outcome::Verb).map_err(|failure| context.advice().apply(failure));
    // A reader of standard input may still sit in a system call; there is nothing to wait for.
    runtime.shutdown_background();
    exit
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit, Failure> {
    let json = command.global.json;
    match command.verb {
        Verb::Import(args) => import::import(context, *args, json).await,
        Verb::Export(args) => look::export(context, args, json).await,
        Verb::Copy(args) => copy::copy(context, args, json).await,
        Verb::Pull(args) => copy::pull(context, args, json).await,
        Verb::Push(args) => copy::push(context, args, json).await,
        Verb::Images(args) => local::images(context, &args, json).await,
        Verb::Tag(args) => local::tag(context, &args, json).await,
        Verb::Remove(args) => local::remove(context, args, json).await,
        Verb::Gc(args) => local::gc(context, &args, json).await,
        Verb::Store(args) => store::store(context, args, json).await,
        Verb::Inspect(args) => inspect::inspect(context, args, json).await,
        Verb::Ls(args) => look::ls(context, args, json).await,
        Verb::Cat(args) => look::cat(context, args).await,
        Verb::Diff(args) => diff::diff(context, args, json).await,
        Verb::Unpack(args) => mount::unpack(context, args, json).await,
        Verb::Mount(args) => mount::mount(context, args, json).await,
        Verb::Unmount(args) => mount::unmount(context, &args, json).await,
        Verb::Tags(args) => inspect::tags(context, &args, json).await,
        Verb::Validate(args) => validate::validate(context, args, json).await,
        Verb::Login(args) => login::login(context, args, json).await,
        Verb::Logout(args) => login::logout(context, &args, json).await,
        Verb::Completion(args) => completion::completion(&args),
        Verb::Reference(args) => reference::reference(&args),
        // Ran already, without a context.
        Verb::Oci(_) => Ok(Exit::Usage),
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

/// The chain of causes once, then the hint. The texts may hold what a registry or an image says:
/// a line of theirs never begins where one of ours does, nor does a control sequence get through.
fn complain(failure: &Failure) {
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
    if let Some(hint) = failure.hint() {
        tell(&format!("  hint: {hint}"));
    }
}
