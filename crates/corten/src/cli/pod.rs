//! `corten pod`, and `corten run A --- B`: several images as one unit.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use corten_run::PodCondition;

use super::members::request;
use super::run::ContainerArgs;
use super::words::span;
use super::{Context, Exit, Failure, Outcome};
use crate::ops::{self, CreatedPodReport, PodReport, PodRequest, PodRun, PodWait, RunRequest};
use crate::output::{Table, age, print, print_json};

/// Verbs about pods.
#[derive(Args)]
#[command(after_help = "\
The members of a pod share their network, host name, ipc and the volumes that have names. \
'corten run A --- B' makes and runs a pod at once.

Examples:
  corten pod create web -p 8080:80 -v site:/srv nginx:1 --- -v site:/out builder:2 watch
  corten pod start web
  corten pod status web --wait-ready=30s
  corten pod play web.yaml")]
pub(super) struct PodArgs {
    #[command(subcommand)]
    verb: PodVerb,
}

#[derive(Subcommand)]
enum PodVerb {
    Create(Box<PodCreateArgs>),
    Start(PodStartArgs),
    Stop(PodStopArgs),
    Rm(PodRmArgs),
    Ps(PodPsArgs),
    Status(PodStatusArgs),
    Play(PodPlayArgs),
}

impl PodArgs {
    /// Whether the verb mounts, or removes what subordinate ids own.
    pub(super) fn needs_root(&self) -> bool {
        !matches!(self.verb, PodVerb::Stop(_) | PodVerb::Ps(_) | PodVerb::Status(_))
    }

    /// Whether the exit code is that of processes in containers.
    pub(super) fn runs_a_process(&self) -> bool {
        matches!(&self.verb, PodVerb::Play(args) if args.foreground)
    }
}

/// Make a pod of images, each with its arguments and '---' before the next, and do not start it yet
#[derive(Args)]
struct PodCreateArgs {
    /// Name of the pod.
    #[arg(value_name = "NAME")]
    pod: String,
    #[command(flatten)]
    container: ContainerArgs,
}

/// Start the members of pods that do not run, in order
#[derive(Args)]
struct PodStartArgs {
    /// Pods: their names, their ids, or the beginnings of those.
    #[arg(required = true)]
    pods: Vec<String>,
}

/// Stop the members of pods, the last one first
#[derive(Args)]
struct PodStopArgs {
    /// Pods: their names, their ids, or the beginnings of those.
    #[arg(required = true)]
    pods: Vec<String>,
    /// Seconds to wait before the end of each member [default: as it was made, else 10].
    #[arg(long, short, value_name = "SECONDS")]
    time: Option<u64>,
}

/// Remove pods, their members and their volumes
#[derive(Args)]
struct PodRmArgs {
    /// Pods: their names, their ids, or the beginnings of those.
    #[arg(required = true)]
    pods: Vec<String>,
    /// End those that run.
    #[arg(long, short)]
    force: bool,
}

/// List pods that run
#[derive(Args)]
struct PodPsArgs {
    /// List those that do not run, too.
    #[arg(long, short)]
    all: bool,
    /// Print ids alone.
    #[arg(long)]
    ids: bool,
}

/// Show a pod and how each of its members is, or ended
#[derive(Args)]
struct PodStatusArgs {
    /// The pod: its name, its id, or the beginning of that.
    pod: String,
    /// Wait until all members run, and are well where that is checked.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "wait")]
    wait_ready: Option<String>,
    /// Wait until all members have ended.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    wait: Option<String>,
}

/// Run the pod that a Kubernetes file describes
#[derive(Args)]
#[command(after_help = "\
The file holds one Pod of v1. What is taken: of the pod containers, initContainers, volumes (emptyDir, \
hostPath), restartPolicy, hostNetwork, hostname, terminationGracePeriodSeconds, securityContext; of a container \
image, imagePullPolicy, command, args, env, workingDir, ports, volumeMounts, resources, securityContext, \
livenessProbe.exec, stdin, tty. Anything else is an error.")]
struct PodPlayArgs {
    /// The file; - is standard input.
    file: PathBuf,
    /// Make it and do not start it yet.
    #[arg(long, conflicts_with = "foreground")]
    no_start: bool,
    /// Show its output and wait for its end.
    #[arg(long)]
    foreground: bool,
}

/// How `run` runs several images.
pub(super) struct Together {
    /// Name of the pod.
    pub(super) name: Option<String>,
    /// Whether it is left running.
    pub(super) detach: bool,
    /// Whether lines of output are shown as they are.
    pub(super) plain: bool,
}

/// `corten run A --- B`.
pub(super) async fn run(
    context: &Context,
    args: ContainerArgs,
    how: Together,
    json: bool,
) -> Result<Outcome, Failure> {
    let pod = request(context, how.name, args)?;
    let remove = pod.members.iter().any(|member| member.remove);
    if remove && how.detach {
        let text = "--rm is for a pod in front: corten pod rm removes one that was left running";
        return Err(Failure::Usage(text.to_owned()));
    }
    if how.detach {
        let made = started(context, pod).await?;
        return told(&made, json).map(Outcome::Verb);
    }
    foreground(context, pod, PodRun { prefix: !how.plain, remove }).await
}

/// Makes a pod and starts it; one that does not start stays, to be looked at.
async fn started(context: &Context, pod: PodRequest) -> Result<CreatedPodReport, Failure> {
    let made = ops::create_pod(context, pod).await?;
    ops::start_pod(context, &made.id).await?;
    Ok(made)
}

async fn foreground(context: &Context, pod: PodRequest, how: PodRun) -> Result<Outcome, Failure> {
    let talks = |member: &RunRequest| member.options.terminal || member.options.interactive;
    if pod.members.iter().any(talks) {
        let text = "the members of a pod in front share its output and get no input: run it with --detach and \
                    attach to the one that has --interactive or --tty";
        return Err(Failure::Usage(text.to_owned()));
    }
    let made = ops::create_pod(context, pod).await?;
    let code = ops::run_pod(context, &made.id, how).await?;
    Ok(Outcome::Process(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn told(made: &CreatedPodReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(made)?;
    } else {
        print(&format!("{}\n", made.id))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn dispatch(
    context: &Context,
    args: PodArgs,
    json: bool,
) -> Result<Outcome, Failure> {
    let done = match args.verb {
        PodVerb::Create(args) => {
            let pod = request(context, Some(args.pod), args.container)?;
            told(&ops::create_pod(context, pod).await?, json)
        }
        PodVerb::Start(args) => {
            let mut ids = Vec::new();
            for pod in &args.pods {
                ids.push(ops::start_pod(context, pod).await?);
            }
            acted(ids, json)
        }
        PodVerb::Stop(args) => {
            let mut ids = Vec::new();
            for pod in &args.pods {
                let time = args.time.map(Duration::from_secs);
                ids.push(ops::stop_pod(context, pod, time).await?);
            }
            acted(ids, json)
        }
        PodVerb::Rm(args) => {
            let mut ids = Vec::new();
            for pod in &args.pods {
                ids.push(ops::remove_pod(context, pod, args.force).await?);
            }
            acted(ids, json)
        }
        PodVerb::Ps(args) => ps(context, &args, json).await,
        PodVerb::Status(args) => status(context, &args, json).await,
        PodVerb::Play(args) => return play(context, &args, json).await,
    };
    done.map(Outcome::Verb)
}

fn acted(pods: Vec<String>, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(&ops::ActedPodsReport { pods })?;
    } else {
        print(&pods.iter().map(|id| format!("{id}\n")).collect::<String>())?;
    }
    Ok(Exit::Done)
}

async fn ps(context: &Context, args: &PodPsArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::pods(context, args.all).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    if args.ids {
        let ids = report.pods.iter().map(|one| format!("{}\n", one.id));
        print(&ids.collect::<String>())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ID", "NAME", "STATE", "MEMBERS", "CREATED"]);
    for one in &report.pods {
        let id = one.id.chars().take(12).collect();
        let running = one.members.iter().filter(|member| member.state == "running").count();
        let members = format!("{running} of {} run", one.members.len());
        let created = age(Duration::from_secs(one.age_seconds));
        table.row(vec![id, one.name.clone(), one.state.clone(), members, created]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}

/// The time after a `--wait…=`; none is without end.
fn within(text: &str) -> Result<Option<Duration>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    span(text).map(Some).map_err(|why| Failure::Usage(format!("{text}: {why}")))
}

async fn status(context: &Context, args: &PodStatusArgs, json: bool) -> Result<Exit, Failure> {
    let wait = match (&args.wait_ready, &args.wait) {
        (Some(time), _) => Some((PodCondition::Ready, time)),
        (None, Some(time)) => Some((PodCondition::Exited, time)),
        (None, None) => None,
    };
    let wait = match wait {
        Some((condition, time)) => Some(PodWait { condition, within: within(time)? }),
        None => None,
    };
    let report = ops::pod_status(context, &args.pod, wait).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&shown(&report))?;
    }
    Ok(Exit::Done)
}

fn shown(report: &PodReport) -> String {
    let ready = if report.ready { ", ready" } else { "" };
    let mut text = format!("{}  {}{ready}\n{}\n\n", report.name, report.state, report.id);
    let mut table = Table::new(&["MEMBER", "IMAGE", "STATE", "PID", "EXIT"]);
    for one in &report.members {
        let state = match &one.health {
            Some(health) => format!("{} ({health})", one.state),
            None => one.state.clone(),
        };
        let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.row(vec![
            one.name.clone(),
            one.image.clone(),
            state,
            number(one.pid.map(|pid| pid.to_string())),
            number(one.exit_code.map(|code| code.to_string())),
        ]);
    }
    text.push_str(&table.render());
    text
}

async fn play(context: &Context, args: &PodPlayArgs, json: bool) -> Result<Outcome, Failure> {
    let shown = args.file.display().to_string();
    let pod = if shown == "-" {
        ops::play("standard input", std::io::stdin().lock(), &context.here())?
    } else {
        let failed = |source| Failure::Io { object: shown.clone(), action: "opening", source };
        let file = std::fs::File::open(context.here().join(&args.file)).map_err(failed)?;
        ops::play(&shown, file, &context.here())?
    };
    if args.foreground {
        return foreground(context, pod, PodRun { prefix: true, remove: false }).await;
    }
    let made = match args.no_start {
        true => ops::create_pod(context, pod).await?,
        false => started(context, pod).await?,
    };
    told(&made, json).map(Outcome::Verb)
}
