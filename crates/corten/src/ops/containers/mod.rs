//! What happens to containers after they are made: listed, told about, ended, taken away.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use corten_run::{
    Attach, Condition, ContainerId, Containers, ExecRequest, ExitStatus, Follow, Freeze, IfRunning,
    Interaction, LifeEvent, Listed, LogQuery, Parted, State, Stream, Timestamp,
};
use corten_spec::DiffId;
use schemars::JsonSchema;
use serde::Serialize;

use super::layers::on_thread;
use super::run::{Recipe, Recipes, user_in};
use crate::{Context, Failure};

/// A container, as lists tell it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ContainerReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image it was made of.
    pub image: String,
    /// Digest of that image's manifest.
    pub digest: String,
    /// `created`, `running`, `paused`, `exited`, or `starting or ending`.
    pub state: String,
    /// Whether a monitor watches it.
    pub monitored: bool,
    /// Its first process, as this machine numbers it.
    pub pid: Option<u32>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was last started.
    pub started: Option<String>,
    /// When it last ended.
    pub ended: Option<String>,
    /// The exit code of the last end.
    pub exit_code: Option<i32>,
    /// Why it did not start.
    pub error: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// What its health check says: `starting`, `healthy` or `unhealthy`.
    pub health: Option<String>,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// Containers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PsReport {
    /// The newest first.
    pub containers: Vec<ContainerReport>,
}

/// A container in full.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// What lists tell.
    #[serde(flatten)]
    pub container: ContainerReport,
    /// Its directory.
    pub directory: String,
    /// What was asked of it.
    pub options: serde_json::Value,
    /// The runtime config of its last start.
    pub config: Option<serde_json::Value>,
}

/// Containers that something was done to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ActedReport {
    /// Their ids.
    pub containers: Vec<String>,
}

pub(super) fn told(listed: &Listed, now: Timestamp) -> ContainerReport {
    let (container, status) = (&listed.container, &listed.status);
    let exit = status.exit.as_ref();
    ContainerReport {
        id: container.id.to_string(),
        name: listed.name.clone(),
        image: container.asked.origin.reference.clone(),
        digest: container.asked.origin.digest.clone(),
        state: status.state.word().to_owned(),
        monitored: status.monitored,
        pid: status.pid,
        created: container.created.to_string(),
        started: status.started.map(|at| at.to_string()),
        ended: exit.map(|ended| ended.at.to_string()),
        exit_code: exit.map(|ended| ended.status.code()),
        error: exit.and_then(|ended| ended.error.clone()),
        restarts: status.restarts,
        health: status.health.map(|health| format!("{health:?}").to_lowercase()),
        age_seconds: now.since(container.created).as_secs(),
        labels: container.asked.labels.clone(),
    }
}

/// Lists containers: those that run, or `all`.
pub async fn ps(context: &Context, all: bool) -> Result<PsReport, Failure> {
    let Some(containers) = context.containers_there()? else {
        return Ok(PsReport { containers: Vec::new() });
    };
    let now = crate::context::clock();
    on_thread("the list", move || {
        let keep =
            |listed: &Listed| all || !matches!(listed.status.state, State::Created | State::Exited);
        let listed = corten_run::list(&containers, &keep)?;
        Ok(PsReport { containers: listed.iter().map(|one| told(one, now)).collect() })
    })
    .await
}

/// Everything about one container.
pub async fn status(context: &Context, name: &str) -> Result<StatusReport, Failure> {
    let (containers, id) = found(context, name)?;
    let listed = corten_run::inspect(&containers, &id)?;
    let bundle = containers.bundle(&id);
    let config = std::fs::read(bundle.join("config.json")).ok();
    let recipe = Recipe::of(&listed.container).map_err(|source| Failure::Io {
        object: format!("container {id}"),
        action: "reading what was asked of it",
        source,
    })?;
    let options = serde_json::to_value(recipe.options()).unwrap_or_default();
    Ok(StatusReport {
        container: told(&listed, crate::context::clock()),
        directory: bundle.parent().unwrap_or(&bundle).display().to_string(),
        options,
        config: config.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
    })
}

/// The container that a name, an id or the beginning of an id means.
pub(super) fn found(context: &Context, name: &str) -> Result<(Containers, ContainerId), Failure> {
    let containers = context.containers()?;
    let id = containers.find(name)?;
    Ok((containers, id))
}

/// The first process of a container that runs.
pub(crate) fn first_process(context: &Context, name: &str) -> Result<Option<u32>, Failure> {
    let (containers, id) = found(context, name)?;
    Ok(corten_run::status(&containers, &id)?.pid)
}

/// The layers of all containers: what they were made of stays ready.
pub(super) fn stacks(context: &Context) -> Result<Vec<Vec<DiffId>>, Failure> {
    let Some(containers) = context.containers_there()? else { return Ok(Vec::new()) };
    let listed = corten_run::list(&containers, &|_| true)?;
    let layers = |listed: &Listed| {
        Recipe::layers_of(&listed.container).map_err(|source| Failure::Io {
            object: format!("container {}", listed.container.id),
            action: "reading what was asked of it",
            source,
        })
    };
    listed.iter().map(layers).collect()
}

/// Clears away what kills left of containers; gives how many were removed.
pub(super) async fn collect(context: &Context, grace: Duration) -> Result<u64, Failure> {
    let Some(containers) = context.containers_there()? else { return Ok(0) };
    let now = crate::context::clock();
    let leases = context.leases();
    on_thread("gc", move || {
        let gone = corten_run::collect(&containers, grace, now)?;
        // What stays is found when the next network is made.
        for id in &gone {
            let _ = corten_run::network::disconnect(&leases, id.as_str());
        }
        let _ = corten_run::network::sweep(&leases);
        Ok(gone.len() as u64)
    })
    .await
}

/// Does one thing to each of several containers, all at once; the first failure is the one to tell, when
/// all have been tried.
async fn each(
    context: &Context,
    names: &[String],
    act: impl Fn(&Containers, &ContainerId) -> Result<(), Failure> + Send + Sync + Clone + 'static,
) -> Result<ActedReport, Failure> {
    let mut running = Vec::new();
    for name in names {
        let (containers, id) = found(context, name)?;
        let act = act.clone();
        running.push(on_thread("the container", move || {
            act(&containers, &id)?;
            Ok(id.to_string())
        }));
    }
    let ended = futures_util::future::join_all(running).await;
    Ok(ActedReport { containers: ended.into_iter().collect::<Result<_, _>>()? })
}

/// Starts containers that were made and do not run, each with a monitor.
pub async fn start(context: &Context, names: &[String]) -> Result<ActedReport, Failure> {
    each(context, names, |containers, id| Ok(corten_run::start(containers, id).map(drop)?)).await
}

/// Starts a container in front of the caller; gives how it ended.
pub async fn start_in_front(context: &Context, name: &str) -> Result<ExitStatus, Failure> {
    let (containers, id) = found(context, name)?;
    let open = corten_run::inspect(&containers, &id)?.container.asked.open_stdin;
    let interaction = if open { Interaction::Talk } else { Interaction::Watch };
    on_thread("the container", move || {
        let recipes = Recipes { tell: crate::output::note };
        Ok(corten_run::foreground(&containers, &id, &recipes, interaction)?)
    })
    .await
}

/// Asks containers to stop, and ends them when they do not in time.
pub async fn stop(
    context: &Context,
    names: &[String],
    timeout: Option<Duration>,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::stop(containers, id, timeout)?)).await
}

/// Sends a signal to the first process of each.
pub async fn kill(
    context: &Context,
    names: &[String],
    signal: i32,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::kill(containers, id, signal)?)).await
}

/// Freezes or thaws containers.
pub async fn freeze(
    context: &Context,
    names: &[String],
    freeze: Freeze,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::freeze(containers, id, freeze)?))
        .await
}

/// Removes containers, and what they wrote with them.
pub async fn rm(context: &Context, names: &[String], force: bool) -> Result<ActedReport, Failure> {
    let running = if force { IfRunning::Kill } else { IfRunning::Refuse };
    let leases = context.leases();
    each(context, names, move |containers, id| {
        corten_run::remove(containers, id, running)?;
        // Its monitor does this, unless it was killed; what stays is found by gc.
        let _ = corten_run::network::disconnect(&leases, id.as_str());
        Ok(())
    })
    .await
}

/// Gives a container another name.
pub async fn rename(context: &Context, name: &str, new: &str) -> Result<ActedReport, Failure> {
    let (containers, id) = found(context, name)?;
    corten_run::rename(&containers, &id, new)?;
    Ok(ActedReport { containers: vec![id.to_string()] })
}

/// What was waited for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WaitReport {
    /// Exit codes in the order of the names; `null` where nobody knows, or the container goes on.
    pub codes: Vec<Option<i32>>,
}

/// Waits until a condition holds for each of the containers.
pub async fn wait(
    context: &Context,
    names: &[String],
    condition: Condition,
    within: Option<Duration>,
) -> Result<WaitReport, Failure> {
    let mut codes = Vec::new();
    for name in names {
        let (containers, id) = found(context, name)?;
        let waited = move || Ok(corten_run::wait(&containers, &id, condition, within)?);
        codes.push(on_thread("the wait", waited).await?.map(ExitStatus::code));
    }
    Ok(WaitReport { codes })
}

/// A process to run in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Directory it starts in.
    pub workdir: Option<PathBuf>,
    /// User, and group, by name or number.
    pub user: Option<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it gets the caller's standard input.
    pub interactive: bool,
    /// Whether it is left running.
    pub detach: bool,
}

/// Runs one more process in a container; gives how it ended.
pub async fn exec(
    context: &Context,
    name: &str,
    options: ExecOptions,
) -> Result<ExitStatus, Failure> {
    let (containers, id) = found(context, name)?;
    on_thread("the process", move || {
        let status = corten_run::status(&containers, &id)?;
        let user = options.user.as_deref();
        let user = match (user, status.pid) {
            (Some(user), Some(pid)) => Some(user_in(pid, user).map_err(|source| Failure::Io {
                object: format!("user {user} of container {id}"),
                action: "looking for it",
                source,
            })?),
            _ => None,
        };
        let wanted = ExecRequest {
            args: options.command,
            env: options.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            cwd: options.workdir,
            user,
            terminal: options.terminal,
            interactive: options.interactive,
            detach: options.detach,
        };
        Ok(corten_run::exec(&containers, &id, &wanted)?)
    })
    .await
}

/// Shows the output of a container, and gives it the caller's input, until it ends or is left.
pub async fn attach(context: &Context, name: &str, input: bool) -> Result<Parted, Failure> {
    let (containers, id) = found(context, name)?;
    let interaction = if input { Interaction::Talk } else { Interaction::Watch };
    let how = Attach { interaction, replay: false };
    on_thread("the attachment", move || Ok(corten_run::attach(&containers, &id, how)?)).await
}

/// Which part of a log, and how it is shown.
#[derive(Clone, Copy, Debug)]
pub struct LogsRequest {
    /// Whether to wait for more until the container ends.
    pub follow: bool,
    /// Nothing older than this.
    pub since: Option<Duration>,
    /// Only the last so many lines.
    pub tail: Option<usize>,
    /// Whether each line begins with its time.
    pub times: bool,
}

/// Writes what a container said: its standard output to the caller's, its standard error to the caller's.
pub async fn logs(context: &Context, name: &str, request: LogsRequest) -> Result<(), Failure> {
    let (containers, id) = found(context, name)?;
    let query = LogQuery {
        follow: if request.follow { Follow::Yes } else { Follow::No },
        since: moment(request.since),
        tail: request.tail,
        stream: None,
    };
    on_thread("the log", move || {
        let mut failed = None;
        let mut fresh = true;
        corten_run::logs(&containers, &id, query, &mut |line| {
            let mut bytes = Vec::with_capacity(line.bytes.len() + 32);
            if request.times && fresh {
                bytes.extend_from_slice(format!("{} ", line.at).as_bytes());
            }
            fresh = line.bytes.ends_with(b"\n");
            bytes.extend_from_slice(&line.bytes);
            let written = match line.stream {
                Stream::Stdout => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&bytes).and_then(|()| out.flush())
                }
                Stream::Stderr => std::io::stderr().lock().write_all(&bytes),
            };
            failed = written.err();
            failed.is_none()
        })?;
        match failed {
            Some(source) => {
                Err(Failure::Io { object: "the output".to_owned(), action: "writing", source })
            }
            None => Ok(()),
        }
    })
    .await
}

/// The moment so long ago; the beginning of time for none.
fn moment(ago: Option<Duration>) -> Timestamp {
    let Some(ago) = ago else { return Timestamp::default() };
    let nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(crate::context::clock().0.saturating_sub(nanos))
}

/// The processes of a container.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TopReport {
    /// One by one.
    pub processes: Vec<ProcessReport>,
}

/// A process of a container.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProcessReport {
    /// Its number on this machine.
    pub pid: u32,
    /// Its user on this machine.
    pub uid: u32,
    /// Its command line, else its name.
    pub command: String,
}

/// Longest command line that is told.
const MAX_COMMAND: u64 = 4096;

/// The processes of a container.
pub async fn top(context: &Context, name: &str) -> Result<TopReport, Failure> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let (containers, id) = found(context, name)?;
    let pids = corten_run::processes(&containers, &id)?;
    let process = |pid: u32| {
        let place = PathBuf::from(format!("/proc/{pid}"));
        // One that ended meanwhile is left out.
        let uid = std::fs::metadata(&place).ok()?.uid();
        let read = |file: &str| {
            let mut bytes = Vec::new();
            std::fs::File::open(place.join(file))
                .ok()?
                .take(MAX_COMMAND)
                .read_to_end(&mut bytes)
                .ok()?;
            let text = String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let command = read("cmdline").or_else(|| Some(format!("[{}]", read("comm")?)))?;
        Some(ProcessReport { pid, uid, command })
    };
    Ok(TopReport { processes: pids.into_iter().filter_map(process).collect() })
}

/// What containers use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StatsReport {
    /// One by one.
    pub containers: Vec<UsageReport>,
}

/// What a container uses; `null` is what this machine does not tell.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UsageReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The limit of memory.
    pub memory_limit: Option<u64>,
    /// The most bytes of memory there were.
    pub memory_peak: Option<u64>,
    /// Nanoseconds of processor time.
    pub cpu: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The limit of processes and threads.
    pub pids_limit: Option<u64>,
    /// Bytes read from disks.
    pub read: Option<u64>,
    /// Bytes written to disks.
    pub written: Option<u64>,
}

/// What containers use: those that are named, else all that run.
pub async fn stats(context: &Context, names: &[String]) -> Result<StatsReport, Failure> {
    let names = if names.is_empty() {
        ps(context, false).await?.containers.into_iter().map(|one| one.id).collect()
    } else {
        names.to_vec()
    };
    let mut report = StatsReport { containers: Vec::new() };
    for name in names {
        let (containers, id) = found(context, &name)?;
        let usage = corten_run::stats(&containers, &id)?;
        report.containers.push(UsageReport {
            id: id.to_string(),
            name: corten_run::inspect(&containers, &id)?.name,
            memory: usage.memory,
            memory_limit: usage.memory_limit,
            memory_peak: usage.memory_peak,
            cpu: usage.cpu,
            pids: usage.pids,
            pids_limit: usage.pids_limit,
            read: usage.read,
            written: usage.written,
        });
    }
    Ok(report)
}

/// Gives what happened to containers to `take`, oldest first, until it says `false`.
pub async fn events(
    context: &Context,
    follow: bool,
    since: Option<Duration>,
    mut take: impl FnMut(LifeEvent) -> bool + Send + 'static,
) -> Result<(), Failure> {
    let containers = context.containers()?;
    let follow = if follow { Follow::Yes } else { Follow::No };
    on_thread("the events", move || {
        Ok(corten_run::events(&containers, follow, moment(since), &mut take)?)
    })
    .await
}
