//! `corten ps`, `status`, `top`, `stats` and `events`: what is known of containers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::words::span;
use crate::cli::{Context, Exit, Failure};
use crate::ops::{self, ContainerReport, StatsReport};
use crate::output::{Table, age, bytes, print, print_json};

/// List containers that run
#[derive(Args)]
pub(in crate::cli) struct PsArgs {
    /// List those that do not run, too.
    #[arg(long, short)]
    all: bool,
    /// Print ids alone.
    #[arg(long)]
    ids: bool,
}

pub(super) async fn ps(context: &Context, args: &PsArgs, json: bool) -> Result<Exit, Failure> {
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
pub(in crate::cli) struct StatusArgs {
    /// The container: its name, its id, or the beginning of that.
    container: String,
}

pub(super) async fn status(
    context: &Context,
    args: &StatusArgs,
    json: bool,
) -> Result<Exit, Failure> {
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
    let killed = "ran out: the kernel ended a process; --memory gives more";
    row("memory", one.out_of_memory.then(|| killed.to_owned()));
    row("error", one.error.clone());
    row("restarts", (one.restarts > 0).then(|| one.restarts.to_string()));
    row("directory", Some(report.directory.clone()));
    print(table.render().trim_start_matches('\n'))?;
    Ok(Exit::Done)
}

/// List the processes of a container
#[derive(Args)]
pub(in crate::cli) struct TopArgs {
    /// The container.
    container: String,
}

pub(super) async fn top(context: &Context, args: &TopArgs, json: bool) -> Result<Exit, Failure> {
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
pub(in crate::cli) struct StatsArgs {
    /// Containers [default: all that run].
    containers: Vec<String>,
    /// Go on, once a second, until they have ended or until interrupted; CPU is then that of the last second.
    #[arg(long, short)]
    follow: bool,
}

/// Processor time of containers at a moment, to tell what came since.
type Before = BTreeMap<String, (Instant, u64)>;

pub(super) async fn stats(
    context: &Context,
    args: &StatsArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let mut before = Before::new();
    let mut report = ops::stats(context, &args.containers).await?;
    loop {
        match (json, args.follow) {
            (true, false) => print_json(&report)?,
            (true, true) => print(&format!("{}\n", line(&report)?))?,
            (false, _) => print(&measured(&report, &mut before).render())?,
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Those that were named, as long as they run; else whatever runs.
        let running = ops::ps(context, false).await?.containers.into_iter().map(|one| one.id);
        let named = !args.containers.is_empty();
        let first = report.containers.iter().map(|one| &one.id).collect::<Vec<_>>();
        let still: Vec<String> = running.filter(|id| !named || first.contains(&id)).collect();
        if named && still.is_empty() {
            return Ok(Exit::Done);
        }
        report = of_running(context, &still).await?;
    }
}

/// What containers use; one that has ended since it was listed is left out.
async fn of_running(context: &Context, ids: &[String]) -> Result<StatsReport, Failure> {
    let mut report = StatsReport { containers: Vec::new() };
    for id in ids {
        match ops::stats(context, std::slice::from_ref(id)).await {
            Ok(one) => report.containers.extend(one.containers),
            Err(Failure::Container(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(report)
}

fn line(report: &StatsReport) -> Result<String, Failure> {
    serde_json::to_string(report).map_err(|error| Failure::Io {
        object: "standard output".to_owned(),
        action: "writing JSON",
        source: error.into(),
    })
}

fn measured(report: &StatsReport, before: &mut Before) -> Table {
    let first = before.is_empty();
    let cpu = if first { "CPU TIME" } else { "CPU" };
    let mut table = Table::new(&["ID", "NAME", "MEMORY", "LIMIT", cpu, "PIDS", "READ", "WRITTEN"]);
    let size = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), bytes);
    for one in &report.containers {
        let now = Instant::now();
        let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
        let last = one.cpu.and_then(|cpu| before.insert(one.id.clone(), (now, cpu)));
        let cpu = match (one.cpu, last) {
            (Some(cpu), Some((then, used))) => {
                let share = seconds(cpu.saturating_sub(used)) / (now - then).as_secs_f64();
                format!("{:.1} %", share * 100.0)
            }
            (Some(cpu), None) if first => format!("{:.2} s", seconds(cpu)),
            _ => "-".to_owned(),
        };
        table.row(vec![
            short(&one.id),
            one.name.clone(),
            size(one.memory),
            size(one.memory_limit),
            cpu,
            one.pids.map_or_else(|| "-".to_owned(), |pids| pids.to_string()),
            size(one.read),
            size(one.written),
        ]);
    }
    table
}

/// Show what happened to containers
#[derive(Args)]
pub(in crate::cli) struct EventsArgs {
    /// Go on until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Nothing older than this, such as 1h.
    #[arg(long, value_name = "AGE", value_parser = span)]
    since: Option<Duration>,
}

pub(super) async fn events(
    context: &Context,
    args: &EventsArgs,
    json: bool,
) -> Result<Exit, Failure> {
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
