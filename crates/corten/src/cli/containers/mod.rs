//! The verbs about containers: which there are, what an ordinary user must be for each, who runs it.

mod life;
mod look;
mod talk;

use clap::Subcommand;
use corten_run::Freeze;

use super::{Context, Failure, Outcome, commit, cp, pod, run, unit, volume};

/// Verbs about containers.
#[derive(Subcommand)]
pub(super) enum ContainerVerb {
    Run(Box<run::RunArgs>),
    Create(Box<run::CreateArgs>),
    Ps(look::PsArgs),
    Status(look::StatusArgs),
    Start(life::StartArgs),
    Stop(life::StopArgs),
    Kill(life::KillArgs),
    Wait(life::WaitArgs),
    /// Freeze containers
    Pause(life::NamesArgs),
    /// Let frozen containers go on
    Resume(life::NamesArgs),
    Rename(life::RenameArgs),
    Rm(life::RmArgs),
    Exec(talk::ExecArgs),
    Attach(talk::AttachArgs),
    Logs(talk::LogsArgs),
    Top(look::TopArgs),
    Stats(look::StatsArgs),
    Events(look::EventsArgs),
    Commit(Box<commit::CommitArgs>),
    Cp(cp::CpArgs),
    Unit(unit::UnitArgs),
    Volume(volume::VolumeArgs),
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
            Self::Volume(args) if args.needs_root() => NeedsRoot::Own,
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
        ContainerVerb::Exec(args) => return talk::exec(context, args).await,
        ContainerVerb::Attach(args) => return talk::attach(context, &args).await,
        ContainerVerb::Commit(args) => commit::commit(context, *args, json).await,
        ContainerVerb::Cp(args) => cp::cp(context, &args, json).await,
        ContainerVerb::Unit(args) => unit::unit(context, &args, json),
        ContainerVerb::Volume(args) => volume::volume(context, args, json).await,
        ContainerVerb::Create(args) => run::create(context, *args, json).await,
        ContainerVerb::Ps(args) => look::ps(context, &args, json).await,
        ContainerVerb::Status(args) => look::status(context, &args, json).await,
        ContainerVerb::Start(args) if args.foreground => return life::front(context, &args).await,
        ContainerVerb::Start(args) => life::start(context, &args, json).await,
        ContainerVerb::Stop(args) => life::stop(context, &args, json).await,
        ContainerVerb::Kill(args) => life::kill(context, &args, json).await,
        ContainerVerb::Wait(args) => life::wait(context, &args, json).await,
        ContainerVerb::Pause(args) => life::freeze(context, &args, Freeze::Pause, json).await,
        ContainerVerb::Resume(args) => life::freeze(context, &args, Freeze::Resume, json).await,
        ContainerVerb::Rename(args) => life::rename(context, &args, json).await,
        ContainerVerb::Rm(args) => life::rm(context, &args, json).await,
        ContainerVerb::Logs(args) => talk::logs(context, &args).await,
        ContainerVerb::Top(args) => look::top(context, &args, json).await,
        ContainerVerb::Stats(args) => look::stats(context, &args, json).await,
        ContainerVerb::Events(args) => look::events(context, &args, json).await,
    };
    done.map(Outcome::Verb)
}
