//! Containers after they are made: which there are, what is known of them, what keeps their layers.

mod life;
mod measure;
mod talk;

use std::time::Duration;

use corten_run::{ContainerId, Containers, Listed, State, Timestamp};
use corten_spec::DiffId;
use schemars::JsonSchema;
use serde::Serialize;

pub use life::{
    ActedReport, WaitReport, freeze, kill, rename, rm, start, start_in_front, stop, wait,
};
pub use measure::{ProcessReport, StatsReport, TopReport, UsageReport, events, stats, top};
pub use talk::{ExecOptions, LogsRequest, attach, exec, logs};

use super::layers::on_thread;
use super::run::Recipe;
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
    /// Whether the kernel ended a process of it because its memory ran out.
    pub out_of_memory: bool,
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
        out_of_memory: exit.is_some_and(|ended| ended.out_of_memory),
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
    stacks_of(context.containers_there()?.as_ref())
}

/// The same, of these containers.
pub(super) fn stacks_of(containers: Option<&Containers>) -> Result<Vec<Vec<DiffId>>, Failure> {
    let Some(containers) = containers else { return Ok(Vec::new()) };
    let listed = corten_run::list(containers, &|_| true)?;
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

/// The moment so long ago; the beginning of time for none.
fn moment(ago: Option<Duration>) -> Timestamp {
    let Some(ago) = ago else { return Timestamp::default() };
    let nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(crate::context::clock().0.saturating_sub(nanos))
}
