//! Pods: several containers as one unit, which share network, ipc and uts namespaces and named volumes.
//!
//! ```text
//! ROOT/pods/ID/                   locked while a verb changes the pod
//!                pod.json         its name and its members, in order; never changes
//!                holder.json      the process that holds its namespaces, while it is up
//!                volumes/NAME     a directory that its members may mount
//! ```
//!
//! A pod is prepared by [`create_pod`] and run by [`crate::start_pod`]; between the two nothing is fetched
//! or made, so that the start is as fast as that of its members.

pub(crate) mod holder;
pub(crate) mod life;

use crate::collect::bury;
use crate::create::{Fill, IfRunning, erase};
use crate::error::{Doing, Result, RunError};
use crate::place::Place;
use crate::{Ask, ContainerId, Containers, Timestamp, event};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

/// The id of a pod, made like that of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodId(pub(crate) ContainerId);

impl PodId {
    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodAsk {
    /// Its name; an empty one becomes the beginning of its id.
    pub name: String,
    /// Its host name; `None` for its name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Labels, as given by the user.
    pub labels: BTreeMap<String, String>,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// How many of the members, the first ones, prepare the work of the others: each runs to its end, which
    /// is a good one, before the next one starts.
    #[serde(default)]
    pub first: usize,
    /// What the program needs to make what the pod shares; nobody here reads it.
    #[serde(default)]
    pub recipe: serde_json::Value,
}

impl PodAsk {
    /// The host name of the pod.
    pub fn hostname(&self) -> &str {
        self.hostname.as_deref().unwrap_or(&self.name)
    }
}

/// A pod: `pod.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its id.
    pub id: PodId,
    /// When it was made.
    pub created: Timestamp,
    /// What was asked.
    pub asked: PodAsk,
    /// Its containers, in the order of their start.
    pub members: Vec<ContainerId>,
}

/// A container of a pod that is to be made.
pub struct Member<'a> {
    /// What is asked of it.
    pub asked: Ask,
    /// Fills its bundle.
    pub fill: Fill<'a>,
}

/// Makes a pod and its containers. It is there whole or not at all; a kill leaves containers of no pod,
/// which [`crate::collect`] clears away.
pub fn create_pod(
    containers: &Containers,
    mut asked: PodAsk,
    members: &mut [Member<'_>],
) -> Result<PodId> {
    let id = PodId(ContainerId::random()?);
    if asked.name.is_empty() {
        asked.name = id.0.short().to_owned();
    }
    for name in asked.volumes.iter().chain([&asked.name]) {
        crate::id::check_name(name)?;
    }
    let mut made = Vec::new();
    let embryo = containers.embryo(&id.0);
    let done = hatch(containers, (&embryo, &id), asked, (members, &mut made));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = crate::erase::erase(&embryo.dir);
        for member in &made {
            let _ = crate::remove(containers, member, IfRunning::Refuse);
        }
    }
    done?;
    event::note(containers, &id.0, "pod-create", None);
    Ok(id)
}

fn hatch(
    containers: &Containers,
    (embryo, id): (&Place, &PodId),
    asked: PodAsk,
    (members, made): (&mut [Member<'_>], &mut Vec<ContainerId>),
) -> Result<()> {
    let making = || format!("make {}", embryo.dir.display());
    let mut private = DirBuilder::new();
    private.mode(0o700).recursive(true);
    private.create(&embryo.dir).doing(making)?;
    // Held until the end, so that `collect` leaves pod and members alone; a kill lets go of it.
    let _lock = embryo.lock()?;
    private.create(embryo.file("volumes")).doing(making)?;
    for name in &asked.volumes {
        // The directory above keeps strangers out; inside, whatever users the containers have write.
        let (path, all) = (embryo.file("volumes").join(name), fs::Permissions::from_mode(0o777));
        fs::create_dir(&path).and_then(|()| fs::set_permissions(&path, all)).doing(making)?;
    }
    for member in members {
        let asked = Ask { pod: Some(id.clone()), ..member.asked.clone() };
        made.push(crate::create(containers, asked, member.fill)?);
    }
    let created = (containers.clock)();
    let pod = Pod { id: id.clone(), created, asked, members: made.clone() };
    embryo.write("pod.json", &pod)?;
    containers.with_names(|| {
        if let Some(holder) =
            list_pods(containers)?.into_iter().find(|other| other.asked.name == pod.asked.name)
        {
            return Err(RunError::NameTaken { name: pod.asked.name, id: holder.id.0 });
        }
        let place = containers.pod(id);
        fs::rename(&embryo.dir, &place.dir).doing(|| format!("publish {}", place.dir.display()))
    })
}

/// The pod that `text` means: its name, its id, or the beginning of one id alone.
pub fn find_pod(containers: &Containers, text: &str) -> Result<Pod> {
    let all = list_pods(containers)?;
    if let Some(pod) = all.iter().find(|pod| pod.asked.name == text || pod.id.as_str() == text) {
        return Ok(pod.clone());
    }
    let mut begin =
        all.into_iter().filter(|pod| !text.is_empty() && pod.id.as_str().starts_with(text));
    match (begin.next(), begin.next()) {
        (Some(pod), None) => Ok(pod),
        (Some(_), Some(_)) => Err(RunError::Ambiguous(text.to_owned())),
        _ => Err(RunError::NotFound(format!("pod {text}"))),
    }
}

/// All pods, the newest first.
pub fn list_pods(containers: &Containers) -> Result<Vec<Pod>> {
    let ids = containers.ids("pods")?;
    let mut all: Vec<Pod> =
        ids.into_iter().filter_map(|id| pod(containers, &PodId(id)).ok()).collect();
    all.sort_by_key(|pod| std::cmp::Reverse(pod.created));
    Ok(all)
}

pub(crate) fn pod(containers: &Containers, id: &PodId) -> Result<Pod> {
    let found = containers.pod(id).read("pod.json")?;
    found.ok_or_else(|| RunError::NotFound(format!("pod {id}")))
}

/// Where a volume of a pod is, for its members to mount.
pub fn pod_volume(containers: &Containers, id: &PodId, name: &str) -> Result<PathBuf> {
    crate::id::check_name(name)?;
    let path = containers.pod(id).file("volumes").join(name);
    if path.is_dir() {
        return Ok(path);
    }
    Err(RunError::NotFound(format!("volume {name} of pod {id}")))
}

/// Removes a pod, its members and its volumes. One that runs is refused, or stopped at once first.
pub fn remove_pod(containers: &Containers, id: &PodId, running: IfRunning) -> Result<()> {
    let pod = pod(containers, id)?;
    if running == IfRunning::Kill {
        life::stop_pod(containers, id, Some(std::time::Duration::ZERO))?;
    }
    let place = containers.pod(id);
    let lock = life::lock(&place)?;
    let status = life::status_of(containers, &pod)?;
    if status.members.iter().any(|member| member.status.is_busy()) {
        let state = "running".to_owned();
        return Err(RunError::State { id: id.0.clone(), state, verb: "be removed" });
    }
    holder::end(&place)?;
    for member in status.members {
        crate::remove(containers, &member.container.id, running)?;
    }
    let garbage = containers.garbage(&id.0);
    fs::rename(&place.dir, &garbage.dir).doing(|| format!("discard {}", place.dir.display()))?;
    drop(lock);
    event::note(containers, &id.0, "pod-remove", None);
    erase(&garbage)
}

/// Clears away what kills left of pods: members of no pod that are `old`, and holders that nobody needs.
pub(crate) fn collect(
    containers: &Containers,
    old: &dyn Fn(&Place) -> bool,
) -> Result<Vec<ContainerId>> {
    let mut gone = Vec::new();
    for id in containers.ids("pods")? {
        life::settle(containers, &PodId(id))?;
    }
    for id in containers.ids("containers")? {
        let Ok(container) = containers.container(&id) else { continue };
        let Some(pod) = container.asked.pod else { continue };
        let embryo = containers.embryo(&pod.0);
        if containers.pod(&pod).dir.exists() || embryo.dir.exists() || !old(&containers.place(&id))
        {
            continue;
        }
        let place = containers.place(&id);
        let Some(lock) = place.lock()? else { continue };
        if crate::control::alive(&place)?.is_some() {
            continue;
        }
        bury(containers, &place)?;
        crate::create::discard(containers, &place, lock)?;
        erase(&containers.garbage(&id))?;
        gone.push(id);
    }
    Ok(gone)
}
