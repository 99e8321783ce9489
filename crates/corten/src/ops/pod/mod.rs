//! Pods: several images as one unit, which share a network, ipc and uts namespaces and named volumes.

mod front;
mod manifest;
mod play;
mod quantity;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use corten_run::{
    ContainerId, Containers, IfRunning, Member, Pod, PodAsk, PodCondition, PodId, PodStatus, State,
    Timestamp,
};
use schemars::JsonSchema;
use serde::Serialize;

pub use front::{PodRun, run_pod};
pub use play::play;

use super::containers::{ContainerReport, told};
use super::layers::on_thread;
use super::ready::ready;
use super::run::{
    CreatedReport, Network, NetworkRecipe, RunRequest, VolumeSource, asked, tell_of_one_id,
    verified,
};
use crate::{Context, Failure};

/// What is asked of a pod.
#[derive(Clone, Debug, Default)]
pub struct PodRequest {
    /// Its name; `None` for a random one.
    pub name: Option<String>,
    /// Its host name; `None` for its name.
    pub hostname: Option<String>,
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// The network of all of its members.
    pub network: Network,
    /// Volumes that no member may name, but that are made.
    pub volumes: Vec<String>,
    /// Its members, in the order of their start. A volume with a name is one of the pod.
    pub members: Vec<RunRequest>,
    /// How many of them, the first ones, run to their end before the next one starts.
    pub first: usize,
}

/// A pod that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CreatedPodReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its members, in the order of their start.
    pub members: Vec<CreatedReport>,
}

/// Pods that something was done to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ActedPodsReport {
    /// Their ids.
    pub pods: Vec<String>,
}

/// A pod, and what is true of it now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PodReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `created`, `running` while a member runs, or `exited`.
    pub state: String,
    /// Whether all members run, and are well where that is checked.
    pub ready: bool,
    /// The process that holds its namespaces, while it is up.
    pub holder: Option<u32>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// Its members, in the order of their start.
    pub members: Vec<ContainerReport>,
}

/// Pods.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PodsReport {
    /// The newest first.
    pub pods: Vec<PodReport>,
}

/// Makes the images ready, all at once, and a pod of them, which is not started.
pub async fn create_pod(
    context: &Context,
    mut request: PodRequest,
) -> Result<CreatedPodReport, Failure> {
    tell_of_one_id(context);
    let name = match request.name.take() {
        Some(name) => name,
        None => ContainerId::random()?.short().to_owned(),
    };
    let hostname = request.hostname.clone().unwrap_or_else(|| name.clone());
    let mut volumes = request.volumes.clone();
    for (number, member) in request.members.iter_mut().enumerate() {
        join(member, &hostname, &request.network);
        member.name.get_or_insert_with(|| format!("{name}-{}", number + 1));
        for mount in &mut member.options.mounts {
            if let VolumeSource::Named(volume) = &mount.source {
                volumes.push(volume.clone());
                mount.source = VolumeSource::Pod(volume.clone());
            }
        }
    }
    volumes.sort();
    volumes.dedup();
    let images = request.members.iter().map(|one| ready(context, &one.look, one.pull));
    let images = futures_util::future::try_join_all(images).await?;
    let mut asks = Vec::new();
    for (member, image) in request.members.iter().zip(&images) {
        verified(context, member.verify, image).await?;
        asks.push(asked(context, member, image)?);
    }
    let recipe = NetworkRecipe {
        network: request.network,
        leases: context.leases(),
        programs: context.programs(),
    };
    let recipe = serde_json::to_value(recipe).map_err(|error| Failure::Io {
        object: "the recipe of the pod".to_owned(),
        action: "writing",
        source: error.into(),
    })?;
    let pod = PodAsk {
        name,
        hostname: request.hostname,
        labels: request.labels,
        volumes,
        first: request.first,
        recipe,
    };
    let containers = context.containers()?;
    on_thread("the pod", move || {
        let mut fills: Vec<_> = asks.iter().map(|_| |_: &Path| Ok(())).collect();
        let pairs = asks.into_iter().zip(&mut fills);
        let mut members: Vec<Member<'_>> =
            pairs.map(|(asked, fill)| Member { asked, fill }).collect();
        let id = corten_run::create_pod(&containers, pod, &mut members)?;
        // From here on the containers' own records keep the layers.
        drop(images);
        made(&containers, &id)
    })
    .await
}

/// Gives a member what the pod shares; its ports are the pod's.
fn join(member: &mut RunRequest, hostname: &str, network: &Network) {
    member.remove = false;
    member.options.hostname = Some(hostname.to_owned());
    member.options.network = match network {
        Network::Private { optional, .. } => {
            Network::Private { publish: Vec::new(), optional: *optional }
        }
        other => other.clone(),
    };
}

fn made(containers: &Containers, id: &PodId) -> Result<CreatedPodReport, Failure> {
    let status = corten_run::pod_status(containers, id)?;
    let members = status.members.iter().map(|one| CreatedReport {
        id: one.container.id.to_string(),
        name: one.name.clone(),
        image: one.container.asked.origin.reference.clone(),
        digest: one.container.asked.origin.digest.clone(),
    });
    let (id, name) = (id.to_string(), status.pod.asked.name.clone());
    Ok(CreatedPodReport { id, name, members: members.collect() })
}

/// The pod that a name, an id or the beginning of an id means.
fn found(context: &Context, name: &str) -> Result<(Containers, Pod), Failure> {
    let containers = context.containers()?;
    let pod = corten_run::find_pod(&containers, name)?;
    Ok((containers, pod))
}

/// Does one thing to a pod; gives its report.
async fn act(
    context: &Context,
    name: &str,
    act: impl FnOnce(&Containers, &Pod) -> Result<(), Failure> + Send + 'static,
) -> Result<String, Failure> {
    let (containers, pod) = found(context, name)?;
    on_thread("the pod", move || {
        act(&containers, &pod)?;
        Ok(pod.id.to_string())
    })
    .await
}

/// Starts the members of a pod that do not run, in order; gives its id.
pub async fn start_pod(context: &Context, name: &str) -> Result<String, Failure> {
    act(context, name, |containers, pod| Ok(corten_run::start_pod(containers, &pod.id)?)).await
}

/// Stops the members of a pod in the opposite order; gives its id.
pub async fn stop_pod(
    context: &Context,
    name: &str,
    timeout: Option<Duration>,
) -> Result<String, Failure> {
    act(context, name, move |containers, pod| {
        corten_run::stop_pod(containers, &pod.id, timeout)?;
        unplug(pod);
        Ok(())
    })
    .await
}

/// Removes a pod, its members and its volumes; gives its id.
pub async fn remove_pod(context: &Context, name: &str, force: bool) -> Result<String, Failure> {
    let running = if force { IfRunning::Kill } else { IfRunning::Refuse };
    act(context, name, move |containers, pod| gone(containers, pod, running)).await
}

fn gone(containers: &Containers, pod: &Pod, running: IfRunning) -> Result<(), Failure> {
    corten_run::remove_pod(containers, &pod.id, running)?;
    unplug(pod);
    Ok(())
}

/// Takes away what a killed holder left of a pod's network.
fn unplug(pod: &Pod) {
    if let Ok(recipe) = NetworkRecipe::of(pod)
        && matches!(recipe.network, Network::Private { .. })
    {
        // What stays is found when the next network is made.
        let _ = corten_run::network::disconnect(&recipe.leases, pod.id.as_str());
    }
}

/// Lists pods: those of which a member runs, or `all`.
pub async fn pods(context: &Context, all: bool) -> Result<PodsReport, Failure> {
    let Some(containers) = context.containers_there()? else {
        return Ok(PodsReport { pods: Vec::new() });
    };
    let now = crate::context::clock();
    on_thread("the list", move || {
        let listed = corten_run::list_pods(&containers)?;
        // One that goes away meanwhile is left out.
        let status = |pod: Pod| corten_run::pod_status(&containers, &pod.id).ok();
        let kept = listed.into_iter().filter_map(status).filter(|one| all || !one.is_over());
        Ok(PodsReport { pods: kept.map(|one| report(&one, now)).collect() })
    })
    .await
}

/// What of a pod is waited for, and how long at most.
#[derive(Clone, Copy, Debug)]
pub struct PodWait {
    /// What for.
    pub condition: PodCondition,
    /// How long; `None` without end.
    pub within: Option<Duration>,
}

/// Everything about one pod, after a wait where one is asked for.
pub async fn pod_status(
    context: &Context,
    name: &str,
    wait: Option<PodWait>,
) -> Result<PodReport, Failure> {
    let (containers, pod) = found(context, name)?;
    on_thread("the pod", move || {
        let status = match wait {
            Some(wait) => corten_run::wait_pod(&containers, &pod.id, wait.condition, wait.within)?,
            None => corten_run::pod_status(&containers, &pod.id)?,
        };
        Ok(report(&status, crate::context::clock()))
    })
    .await
}

fn report(status: &PodStatus, now: Timestamp) -> PodReport {
    let (pod, members) = (&status.pod, &status.members);
    let state = if !status.is_over() {
        "running"
    } else if members.iter().all(|member| member.status.state == State::Created) {
        "created"
    } else {
        "exited"
    };
    PodReport {
        id: pod.id.to_string(),
        name: pod.asked.name.clone(),
        state: state.to_owned(),
        ready: status.is_ready(),
        holder: status.holder,
        created: pod.created.to_string(),
        age_seconds: now.since(pod.created).as_secs(),
        labels: pod.asked.labels.clone(),
        volumes: pod.asked.volumes.clone(),
        members: members.iter().map(|member| told(member, now)).collect(),
    }
}
