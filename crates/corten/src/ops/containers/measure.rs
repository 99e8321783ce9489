//! What containers do and use: their processes, their figures, what happened to them.

use std::path::PathBuf;
use std::time::Duration;

use corten_run::{Follow, LifeEvent};
use schemars::JsonSchema;
use serde::Serialize;

use super::{found, moment, ps};
use crate::ops::layers::on_thread;
use crate::{Context, Failure};

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
