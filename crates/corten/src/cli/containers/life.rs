//! `corten start`, `stop`, `kill`, `pause`, `resume`, `rename`, `rm` and `wait`: what becomes of containers.

use std::time::Duration;

use clap::{Args, ValueEnum};
use corten_run::{Condition, Freeze};

use crate::cli::words::span;
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::ops::{self, ActedReport};
use crate::output::{print, print_json};
use crate::signal;

/// Names of containers.
#[derive(Args)]
pub(in crate::cli) struct NamesArgs {
    /// Containers: their names, their ids, or the beginnings of those.
    #[arg(required = true)]
    containers: Vec<String>,
}

fn acted(report: &ActedReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(report)?;
    } else {
        print(&report.containers.iter().map(|id| format!("{id}\n")).collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// Start containers that were made and do not run
#[derive(Args)]
pub(in crate::cli) struct StartArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// Start one here, with this terminal or these streams, and wait for its end.
    #[arg(long)]
    pub(super) foreground: bool,
}

pub(super) async fn front(context: &Context, args: &StartArgs) -> Result<Outcome, Failure> {
    let [name] = args.names.containers.as_slice() else {
        return Err(Failure::Usage("--foreground is for one container".to_owned()));
    };
    let ended = ops::start_in_front(context, name).await?;
    Ok(Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)))
}

pub(super) async fn start(
    context: &Context,
    args: &StartArgs,
    json: bool,
) -> Result<Exit, Failure> {
    acted(&ops::start(context, &args.names.containers).await?, json)
}

/// Ask containers to stop, and end them when they do not
#[derive(Args)]
pub(in crate::cli) struct StopArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// Seconds to wait before the end [default: as the container was made, else 10].
    #[arg(long, short, value_name = "SECONDS")]
    time: Option<u64>,
}

pub(super) async fn stop(context: &Context, args: &StopArgs, json: bool) -> Result<Exit, Failure> {
    let time = args.time.map(Duration::from_secs);
    acted(&ops::stop(context, &args.names.containers, time).await?, json)
}

/// Send a signal to the first process of containers
#[derive(Args)]
pub(in crate::cli) struct KillArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// The signal, by name or number.
    #[arg(long, short, default_value = "KILL")]
    signal: String,
}

pub(super) async fn kill(context: &Context, args: &KillArgs, json: bool) -> Result<Exit, Failure> {
    let signal = signal::number(&args.signal)
        .ok_or_else(|| Failure::Usage(format!("{}: no such signal", args.signal)))?;
    acted(&ops::kill(context, &args.names.containers, signal).await?, json)
}

pub(super) async fn freeze(
    context: &Context,
    args: &NamesArgs,
    freeze: Freeze,
    json: bool,
) -> Result<Exit, Failure> {
    acted(&ops::freeze(context, &args.containers, freeze).await?, json)
}

/// Give a container another name
#[derive(Args)]
pub(in crate::cli) struct RenameArgs {
    /// The container.
    container: String,
    /// The new name.
    name: String,
}

pub(super) async fn rename(
    context: &Context,
    args: &RenameArgs,
    json: bool,
) -> Result<Exit, Failure> {
    acted(&ops::rename(context, &args.container, &args.name).await?, json)
}

/// Remove containers, and what they wrote with them
#[derive(Args)]
pub(in crate::cli) struct RmArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// End those that run.
    #[arg(long, short)]
    force: bool,
}

pub(super) async fn rm(context: &Context, args: &RmArgs, json: bool) -> Result<Exit, Failure> {
    acted(&ops::rm(context, &args.names.containers, args.force).await?, json)
}

/// What to wait for.
#[derive(Clone, Copy, ValueEnum)]
enum ConditionWord {
    /// It runs.
    Running,
    /// It has ended and is not started again.
    Exited,
    /// Its health check says that it is well.
    Healthy,
    /// It is gone.
    Removed,
}

/// Wait for containers; print their exit codes
#[derive(Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// What to wait for.
    #[arg(long, value_enum, default_value = "exited")]
    condition: ConditionWord,
    /// How long at most, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = span)]
    within: Option<Duration>,
}

pub(super) async fn wait(context: &Context, args: &WaitArgs, json: bool) -> Result<Exit, Failure> {
    let condition = match args.condition {
        ConditionWord::Running => Condition::Running,
        ConditionWord::Exited => Condition::Exited,
        ConditionWord::Healthy => Condition::Healthy,
        ConditionWord::Removed => Condition::Removed,
    };
    let report = ops::wait(context, &args.names.containers, condition, args.within).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let line = |code: &Option<i32>| match code {
        Some(code) => format!("{code}\n"),
        None => "-\n".to_owned(),
    };
    print(&report.codes.iter().map(line).collect::<String>())?;
    Ok(Exit::Done)
}
