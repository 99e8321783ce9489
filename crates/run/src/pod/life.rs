//! The life of a pod: start, stop, status, wait.

use super::{Pod, holder, pod};
use crate::error::{Doing, Result, RunError};
use crate::place::Place;
use crate::watch::LONGEST;
use crate::{Condition, ContainerId, Containers, ExitStatus, Health, Listed, PodId, State, event};
use rustix::fs::FlockOperation;
use serde::Serialize;
use std::fs::File;
use std::time::{Duration, Instant};

/// What is true of a pod now.
#[derive(Clone, Debug, Serialize)]
pub struct PodStatus {
    /// The pod.
    pub pod: Pod,
    /// The process that holds its namespaces, while it is up.
    pub holder: Option<u32>,
    /// Its members that are there, in order.
    pub members: Vec<Listed>,
}

impl PodStatus {
    /// Whether all members run, and are well where that is checked.
    pub fn is_ready(&self) -> bool {
        let ready = |member: &Listed| {
            let well = matches!(member.status.health, None | Some(Health::Healthy));
            member.status.state == State::Running && well
        };
        self.members.len() == self.pod.members.len()
            && self.members.iter().skip(self.pod.asked.first).all(ready)
    }

    /// Whether no member runs or will run again by itself.
    pub fn is_over(&self) -> bool {
        !self.members.iter().any(|member| member.status.is_busy())
    }
}

/// What of a pod is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodCondition {
    /// All members run, and are well where that is checked.
    Ready,
    /// All members have ended.
    Exited,
}

/// Takes the lock of a pod; the verbs that change one wait for each other.
pub(crate) fn lock(place: &Place) -> Result<File> {
    let path = &place.dir;
    let locking = || format!("lock {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RunError::NotFound(format!("pod {}", place.id)));
        }
        other => other.doing(locking)?,
    };
    rustix::fs::flock(&file, FlockOperation::LockExclusive).doing(locking)?;
    // It may have been removed while this waited.
    if !path.exists() {
        return Err(RunError::NotFound(format!("pod {}", place.id)));
    }
    Ok(file)
}

/// What is true of a pod now, told from its members and its holder.
pub fn pod_status(containers: &Containers, id: &PodId) -> Result<PodStatus> {
    status_of(containers, &pod(containers, id)?)
}

pub(crate) fn status_of(containers: &Containers, pod: &Pod) -> Result<PodStatus> {
    let members = pod.members.iter();
    Ok(PodStatus {
        pod: pod.clone(),
        holder: holder::alive(&containers.pod(&pod.id))?,
        members: members.filter_map(|member| crate::inspect(containers, member).ok()).collect(),
    })
}

/// Starts the members of a pod that do not run, in order, each under a monitor. When one does not start,
/// those that this call started are stopped.
pub fn start_pod(containers: &Containers, id: &PodId) -> Result<()> {
    let place = containers.pod(id);
    let lock = lock(&place)?;
    let pod = pod(containers, id)?;
    let before = status_of(containers, &pod)?;
    if before.holder.is_none() && !before.is_over() {
        // Those that run would not share with those that start now.
        let state = "running, and its namespaces are not held any more".to_owned();
        return Err(RunError::State { id: id.0.clone(), state, verb: "start" });
    }
    let mut started: Vec<&ContainerId> = Vec::new();
    let done = holder::begin(containers, id).and_then(|_| {
        for (number, member) in pod.members.iter().enumerate() {
            let first = number < pod.asked.first;
            // What comes first is not done again beside those that run.
            let due = !first || before.is_over();
            if due && !crate::status(containers, member)?.is_busy() {
                crate::start(containers, member)?;
                started.push(member);
            }
            if due && first {
                well_ended(containers, member)?;
            }
        }
        Ok(())
    });
    if done.is_err() {
        for member in started.iter().rev() {
            // The first error is the one to tell.
            let _ = crate::stop(containers, member, None);
        }
    }
    drop(lock);
    // All of them may be over already, and have left the holder to this verb, which had the lock.
    settle(containers, id)?;
    done?;
    event::note(containers, &id.0, "pod-start", None);
    Ok(())
}

/// Waits for the end of a member on which the others wait.
fn well_ended(containers: &Containers, member: &ContainerId) -> Result<()> {
    match crate::wait(containers, member, Condition::Exited, None)? {
        Some(ExitStatus::Code(0)) => Ok(()),
        ended => {
            let how = ended.map_or_else(String::new, |ended| format!(" with {}", ended.code()));
            let message = format!("it ended{how}, and the others of its pod wait for its success");
            Err(RunError::Start { id: member.clone(), message, code: 125 })
        }
    }
}

/// Stops the members of a pod in the opposite order, and lets its namespaces go.
pub fn stop_pod(containers: &Containers, id: &PodId, timeout: Option<Duration>) -> Result<()> {
    let place = containers.pod(id);
    let _lock = lock(&place)?;
    for member in pod(containers, id)?.members.iter().rev() {
        match crate::stop(containers, member, timeout) {
            Ok(()) | Err(RunError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    holder::end(&place)?;
    event::note(containers, &id.0, "pod-stop", None);
    Ok(())
}

/// Lets the namespaces of a pod go when all of its members have ended; while a verb changes the pod, that
/// is the verb's matter.
pub(crate) fn settle(containers: &Containers, id: &PodId) -> Result<()> {
    let place = containers.pod(id);
    let Ok(file) = File::open(&place.dir) else { return Ok(()) };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let Ok(status) = pod_status(containers, id) else { return Ok(()) };
    if status.is_over() { holder::end(&place) } else { Ok(()) }
}

/// Waits for a condition of a pod, without end or for a time. A pod that has ended does not become ready: that is
/// an error.
pub fn wait_pod(
    containers: &Containers,
    id: &PodId,
    condition: PodCondition,
    within: Option<Duration>,
) -> Result<PodStatus> {
    let begun = Instant::now();
    loop {
        let status = pod_status(containers, id)?;
        let met = match condition {
            PodCondition::Ready => status.is_ready(),
            PodCondition::Exited => status.is_over(),
        };
        if met {
            return Ok(status);
        }
        let ended = |member: &Listed| member.status.state == State::Exited;
        if condition == PodCondition::Ready
            && status.holder.is_none()
            && status.members.iter().all(ended)
        {
            let state = State::Exited.word().to_owned();
            return Err(RunError::State { id: id.0.clone(), state, verb: "become ready" });
        }
        let left = within.map_or(Some(LONGEST), |within| within.checked_sub(begun.elapsed()));
        let late = || RunError::Late { id: id.0.clone(), verb: "come to that" };
        let left = left.ok_or_else(late)?;
        // Several directories would have to be watched; a look is cheap.
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
