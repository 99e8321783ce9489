//! `corten ps`, `status`, `start`, `stop`, `kill`, `wait`, `pause`, `resume`, `rename`, `rm`, `exec`,
//! `attach`, `logs`, `top`, `stats` and `events`: the life of containers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use corten_run::{Condition, Freeze, Parted};

use super::words::{span, variables};
use super::{Context, Exit, Failure, Outcome, commit, cp, pod, run, unit};
use crate::ops::{self, ActedReport, ContainerReport, ExecOptions, LogsRequest};
use crate::output::{Table, age, bytes, print, print_json};
use crate::signal;

/// Verbs about containers.
#[derive(Subcommand)]
pub(super) enum ContainerVerb {
    Run(Box<run::RunArgs>),
    Create(Box<run::CreateArgs>),
    Ps(PsArgs),
    Status(StatusArgs),
    Start(StartArgs),
    Stop(StopArgs),
    Kill(KillArgs),
    Wait(WaitArgs),
    /// Freeze containers
    Pause(NamesArgs),
    /// Let frozen containers go on
    Resume(NamesArgs),
    Rename(RenameArgs),
    Rm(RmArgs),
    Exec(ExecArgs),
    Attach(AttachArgs),
    Logs(LogsArgs),
    Top(TopArgs),
    Stats(StatsArgs),
    Events(EventsArgs),
    Commit(Box<commit::CommitArgs>),
    Cp(cp::CpArgs),
    Unit(unit::UnitArgs),
    /// Run several images as one unit
    Pod(Box<pod::PodArgs>),
}

/// What an ordinary user must be for a verb.
pub(super) enum NeedsRoot<'a> {
    /// Oneself.
    No,
    /// The root of a user namespace of one's own.
    Own,
    /// The root of that in which this container runs.
    Of(&'a str),
    /// The same while it runs, else one's own.
    At(&'a str),
}

impl ContainerVerb {
    /// Whether the exit code is that of a process in a container.
    pub(super) fn runs_a_process(&self) -> bool {
        match self {
            Self::Run(_) | Self::Exec(_) | Self::Attach(_) => true,
            Self::Start(args) => args.foreground,
            Self::Pod(args) => args.runs_a_process(),
            _ => false,
        }
    }

    /// What an ordinary user must be: whoever mounts or removes what subordinate ids own is root, and
    /// whoever enters a container is that one's.
    pub(super) fn needs_root(&self) -> NeedsRoot<'_> {
        match self {
            Self::Run(_) | Self::Create(_) | Self::Start(_) | Self::Rm(_) | Self::Commit(_) => {
                NeedsRoot::Own
            }
            Self::Pod(args) if args.needs_root() => NeedsRoot::Own,
            Self::Exec(args) => NeedsRoot::Of(&args.container),
            Self::Cp(args) => NeedsRoot::At(args.container()),
            _ => NeedsRoot::No,
        }
    }
}

pub(super) async fn dispatch(
    context: &Context,
    verb: ContainerVerb,
    json: bool,
) -> Result<Outcome, Failure> {
    let done = match verb {
        ContainerVerb::Run(args) => return run::run(context, *args, json).await,
        ContainerVerb::Pod(args) => return pod::dispatch(context, *args, json).await,
        ContainerVerb::Exec(args) => return exec(context, args).await,
        ContainerVerb::Attach(args) => return attach(context, &args).await,
        ContainerVerb::Commit(args) => commit::commit(context, *args, json).await,
        ContainerVerb::Cp(args) => cp::cp(context, &args, json).await,
        ContainerVerb::Unit(args) => unit::unit(context, &args, json),
        ContainerVerb::Create(args) => run::create(context, *args, json).await,
        ContainerVerb::Ps(args) => ps(context, &args, json).await,
        ContainerVerb::Status(args) => status(context, &args, json).await,
        ContainerVerb::Start(args) if args.foreground => return front(context, &args).await,
        ContainerVerb::Start(args) => start(context, &args, json).await,
        ContainerVerb::Stop(args) => stop(context, &args, json).await,
        ContainerVerb::Kill(args) => kill(context, &args, json).await,
        ContainerVerb::Wait(args) => wait(context, &args, json).await,
        ContainerVerb::Pause(args) => freeze(context, &args, Freeze::Pause, json).await,
        ContainerVerb::Resume(args) => freeze(context, &args, Freeze::Resume, json).await,
        ContainerVerb::Rename(args) => rename(context, &args, json).await,
        ContainerVerb::Rm(args) => rm(context, &args, json).await,
        ContainerVerb::Logs(args) => logs(context, &args).await,
        ContainerVerb::Top(args) => top(context, &args, json).await,
        ContainerVerb::Stats(args) => stats(context, &args, json).await,
        ContainerVerb::Events(args) => events(context, &args, json).await,
    };
    done.map(Outcome::Verb)
}

/// List containers that run
#[derive(Args)]
pub(super) struct PsArgs {
    /// List those that do not run, too.
    #[arg(long, short)]
    all: bool,
    /// Print ids alone.
    #[arg(long)]
    ids: bool,
}

async fn ps(context: &Context, args: &PsArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::ps(context, args.all).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    if args.ids {
        let ids = report.containers.iter().map(|one| format!("{}\n", one.id));
        print(&ids.collect::<String>())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ID", "NAME", "IMAGE", "STATE", "CREATED"]);
    for one in &report.containers {
        table.row(vec![
            short(&one.id),
            one.name.clone(),
            one.image.clone(),
            state(one),
            age(Duration::from_secs(one.age_seconds)),
        ]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

fn state(one: &ContainerReport) -> String {
    let more = match (&one.health, one.exit_code) {
        (Some(health), _) => format!(" ({health})"),
        (None, Some(code)) if one.state == "exited" => format!(" ({code})"),
        _ => String::new(),
    };
    format!("{}{more}", one.state)
}

/// Show everything about a container
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten status web
  corten status web --json | jq .config.process.args")]
pub(super) struct StatusArgs {
    /// The container: its name, its id, or the beginning of that.
    container: String,
}

async fn status(context: &Context, args: &StatusArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::status(context, &args.container).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let one = &report.container;
    let mut table = Table::new(&["", ""]);
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row(vec![name.to_owned(), value]);
        }
    };
    row("name", Some(one.name.clone()));
    row("id", Some(one.id.clone()));
    row("image", Some(one.image.clone()));
    row("digest", Some(one.digest.clone()));
    row("state", Some(state(one)));
    row("pid", one.pid.map(|pid| pid.to_string()));
    row("created", Some(one.created.clone()));
    row("started", one.started.clone());
    row("ended", one.ended.clone());
    row("error", one.error.clone());
    row("restarts", (one.restarts > 0).then(|| one.restarts.to_string()));
    row("directory", Some(report.directory.clone()));
    print(table.render().trim_start_matches('\n'))?;
    Ok(Exit::Done)
}

/// Names of containers.
#[derive(Args)]
pub(super) struct NamesArgs {
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
pub(super) struct StartArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// Start one here, with this terminal or these streams, and wait for its end.
    #[arg(long)]
    foreground: bool,
}

async fn front(context: &Context, args: &StartArgs) -> Result<Outcome, Failure> {
    let [name] = args.names.containers.as_slice() else {
        return Err(Failure::Usage("--foreground is for one container".to_owned()));
    };
    let ended = ops::start_in_front(context, name).await?;
    Ok(Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)))
}

async fn start(context: &Context, args: &StartArgs, json: bool) -> Result<Exit, Failure> {
    acted(&ops::start(context, &args.names.containers).await?, json)
}

/// Ask containers to stop, and end them when they do not
#[derive(Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// Seconds to wait before the end [default: as the container was made, else 10].
    #[arg(long, short, value_name = "SECONDS")]
    time: Option<u64>,
}

async fn stop(context: &Context, args: &StopArgs, json: bool) -> Result<Exit, Failure> {
    let time = args.time.map(Duration::from_secs);
    acted(&ops::stop(context, &args.names.containers, time).await?, json)
}

/// Send a signal to the first process of containers
#[derive(Args)]
pub(super) struct KillArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// The signal, by name or number.
    #[arg(long, short, default_value = "KILL")]
    signal: String,
}

async fn kill(context: &Context, args: &KillArgs, json: bool) -> Result<Exit, Failure> {
    let signal = signal::number(&args.signal)
        .ok_or_else(|| Failure::Usage(format!("{}: no such signal", args.signal)))?;
    acted(&ops::kill(context, &args.names.containers, signal).await?, json)
}

async fn freeze(
    context: &Context,
    args: &NamesArgs,
    freeze: Freeze,
    json: bool,
) -> Result<Exit, Failure> {
    acted(&ops::freeze(context, &args.containers, freeze).await?, json)
}

/// Give a container another name
#[derive(Args)]
pub(super) struct RenameArgs {
    /// The container.
    container: String,
    /// The new name.
    name: String,
}

async fn rename(context: &Context, args: &RenameArgs, json: bool) -> Result<Exit, Failure> {
    acted(&ops::rename(context, &args.container, &args.name).await?, json)
}

/// Remove containers, and what they wrote with them
#[derive(Args)]
pub(super) struct RmArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// End those that run.
    #[arg(long, short)]
    force: bool,
}

async fn rm(context: &Context, args: &RmArgs, json: bool) -> Result<Exit, Failure> {
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
pub(super) struct WaitArgs {
    #[command(flatten)]
    names: NamesArgs,
    /// What to wait for.
    #[arg(long, value_enum, default_value = "exited")]
    condition: ConditionWord,
    /// How long at most, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = span)]
    within: Option<Duration>,
}

async fn wait(context: &Context, args: &WaitArgs, json: bool) -> Result<Exit, Failure> {
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

/// Run one more process in a container
#[derive(Args)]
#[command(after_help = "\
It has no more rights than the container. The exit code is that of the process; 126 says that it cannot be \
started, 127 that there is no such program, 125 that corten failed.

Examples:
  corten exec web ps
  corten exec -it web sh")]
pub(super) struct ExecArgs {
    /// Set a variable: NAME=VALUE, or NAME to pass on the one that is set here; may repeat.
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line; may repeat.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Directory it starts in.
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User, and group, by name or number.
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Keep standard input open.
    #[arg(long, short)]
    interactive: bool,
    /// Give it a terminal.
    #[arg(long, short)]
    tty: bool,
    /// Leave it running.
    #[arg(long, short)]
    detach: bool,
    /// The container.
    container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

async fn exec(context: &Context, args: ExecArgs) -> Result<Outcome, Failure> {
    let options = ExecOptions {
        env: variables(context, &args.env_file, &args.env)?,
        command: args.command,
        workdir: args.workdir,
        user: args.user,
        terminal: args.tty,
        interactive: args.interactive,
        detach: args.detach,
    };
    let ended = ops::exec(context, &args.container, options).await?;
    Ok(Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)))
}

/// Show the output of a container from now on, and give it your input
#[derive(Args)]
#[command(after_help = "Control-P control-Q leaves a container with a terminal; it goes on.")]
pub(super) struct AttachArgs {
    /// Give it no input.
    #[arg(long)]
    no_stdin: bool,
    /// The container.
    container: String,
}

async fn attach(context: &Context, args: &AttachArgs) -> Result<Outcome, Failure> {
    Ok(match ops::attach(context, &args.container, !args.no_stdin).await? {
        Parted::Ended(ended) => Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)),
        Parted::Left => Outcome::Verb(Exit::Done),
    })
}

/// Print what a detached container said
#[derive(Args)]
pub(super) struct LogsArgs {
    /// Go on until the container ends.
    #[arg(long, short)]
    follow: bool,
    /// Nothing older than this, such as 10m.
    #[arg(long, value_name = "AGE", value_parser = span)]
    since: Option<Duration>,
    /// Only the last lines.
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// Begin each line with its time.
    #[arg(long, short)]
    timestamps: bool,
    /// The container.
    container: String,
}

async fn logs(context: &Context, args: &LogsArgs) -> Result<Exit, Failure> {
    let request = LogsRequest {
        follow: args.follow,
        since: args.since,
        tail: args.tail,
        times: args.timestamps,
    };
    ops::logs(context, &args.container, request).await?;
    Ok(Exit::Done)
}

/// List the processes of a container
#[derive(Args)]
pub(super) struct TopArgs {
    /// The container.
    container: String,
}

async fn top(context: &Context, args: &TopArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::top(context, &args.container).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["PID", "USER", "COMMAND"]);
    for process in &report.processes {
        let (pid, uid) = (process.pid.to_string(), process.uid.to_string());
        table.row(vec![pid, uid, process.command.clone()]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}

/// Show what containers use
#[derive(Args)]
pub(super) struct StatsArgs {
    /// Containers [default: all that run].
    containers: Vec<String>,
}

async fn stats(context: &Context, args: &StatsArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::stats(context, &args.containers).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut table =
        Table::new(&["ID", "NAME", "MEMORY", "LIMIT", "CPU TIME", "PIDS", "READ", "WRITTEN"]);
    let size = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), bytes);
    for one in &report.containers {
        let seconds = one.cpu.map(Duration::from_nanos).map(|time| time.as_secs_f64());
        table.row(vec![
            short(&one.id),
            one.name.clone(),
            size(one.memory),
            size(one.memory_limit),
            seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s")),
            one.pids.map_or_else(|| "-".to_owned(), |pids| pids.to_string()),
            size(one.read),
            size(one.written),
        ]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}

/// Show what happened to containers
#[derive(Args)]
pub(super) struct EventsArgs {
    /// Go on until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Nothing older than this, such as 1h.
    #[arg(long, value_name = "AGE", value_parser = span)]
    since: Option<Duration>,
}

async fn events(context: &Context, args: &EventsArgs, json: bool) -> Result<Exit, Failure> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    ops::events(context, args.follow, args.since, move |event| {
        let code = event.code.map_or_else(String::new, |code| format!(" ({code})"));
        let line = match json {
            true => serde_json::to_string(&event).unwrap_or_default(),
            false => format!("{} {} {}{code}", event.at, event.id, event.what),
        };
        let printed = print(&format!("{line}\n"));
        let done = printed.is_err();
        if let Err(failure) = printed {
            // The channel holds the one failure that ends this.
            let _ = sender.try_send(failure);
        }
        !done
    })
    .await?;
    match receiver.try_recv() {
        Ok(failure) => Err(failure),
        Err(_) => Ok(Exit::Done),
    }
}
