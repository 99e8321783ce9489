//! The verbs on a container that is there: status, start, stop, kill, wait, pause.

use crate::error::{Result, RunError};
use crate::model::Written;
use crate::place::{Place, read_bounded};
use crate::runtime::{Freeze, Machine, Usage};
use crate::watch::{LONGEST, Watch};
use crate::{
    Container, ContainerId, Containers, Ended, ExitStatus, RestartPolicy, State, Status, event,
    monitor,
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What stands in the mark `stopped`: who asked for the end.
pub(crate) const BY_HAND: &[u8] = b"by hand";
pub(crate) const BY_SIGNAL: &[u8] = b"by a signal to who watches";
/// How long a killed container may take to go.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// What is true of a container now, told from its lock, its files and its process, whatever was killed.
pub fn status(containers: &Containers, id: &ContainerId) -> Result<Status> {
    let place = containers.place(id);
    if !place.dir.is_dir() {
        return Err(RunError::NotFound(id.to_string()));
    }
    // The lock first: a monitor that ends after this look has written all of its files before.
    let monitored = place.monitored()?;
    let written = written(&place)?;
    let mut exit: Option<Ended> = undamaged(place.read("exit.json"))?;
    let alive = written.as_ref().filter(|written| lives(written));
    let state = match (&alive, monitored) {
        (Some(_), _) if place.has("paused") => State::Paused,
        (Some(_), _) => State::Running,
        (None, true) => State::Between,
        (None, false) if written.is_none() && exit.is_none() => State::Created,
        (None, false) => State::Exited,
    };
    if let (State::Exited, Some(written)) = (state, &written)
        && exit.as_ref().is_none_or(|exit| exit.at < written.started)
    {
        exit = Some(written.unseen(written.started));
    }
    Ok(Status {
        state,
        monitored,
        pid: alive.map(|written| written.pid),
        started: written
            .as_ref()
            .map(|written| written.started)
            .or_else(|| exit.as_ref().map(|exit| exit.started)),
        restarts: written
            .as_ref()
            .map(|written| written.restarts)
            .or_else(|| exit.as_ref().map(|exit| exit.restarts))
            .unwrap_or(0),
        health: alive.and_then(|written| written.health),
        exit,
    })
}

/// A file that a loss of power left damaged says nothing.
pub(crate) fn undamaged<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(RunError::Damaged { .. }) => Ok(None),
        other => other,
    }
}

/// What is written of the present run; a damaged file is of a run that a loss of power ended.
pub(crate) fn written(place: &Place) -> Result<Option<Written>> {
    match place.read("state.json") {
        Err(RunError::Damaged { .. }) => Ok(Some(Written::lost())),
        other => other,
    }
}

fn lives(written: &Written) -> bool {
    written.pid != 0
        && written.boot == crate::procfs::boot()
        && crate::procfs::start_time(written.pid) == Some(written.pid_start)
}

/// The first process, while it is up.
pub(crate) fn alive(place: &Place) -> Result<Option<u32>> {
    Ok(written(place)?.filter(lives).map(|written| written.pid))
}

/// A container with its name and its status, for lists.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What was asked.
    pub container: Container,
    /// Its name now.
    pub name: String,
    /// Its status now.
    pub status: Status,
}

/// One container in full.
pub fn inspect(containers: &Containers, id: &ContainerId) -> Result<Listed> {
    let status = status(containers, id)?;
    Ok(Listed { container: containers.container(id)?, name: containers.place(id).name()?, status })
}

/// All containers that `keep` keeps, the newest first. One that goes away meanwhile is left out.
pub fn list(containers: &Containers, keep: &dyn Fn(&Listed) -> bool) -> Result<Vec<Listed>> {
    let ids = containers.ids("containers")?;
    let mut all: Vec<Listed> =
        ids.iter().filter_map(|id| inspect(containers, id).ok()).filter(keep).collect();
    all.sort_by_key(|listed| std::cmp::Reverse(listed.container.created));
    Ok(all)
}

/// Starts a container under a monitor of its own; gives the pid of its first process once it runs.
pub fn start(containers: &Containers, id: &ContainerId) -> Result<u32> {
    allowed(containers, id, &[State::Created, State::Exited], "start")?;
    containers.place(id).clear("stopped")?;
    monitor::spawn(containers, id)
}

/// Starts what its policy wants up after a boot, each under a monitor: for the one who starts things then.
/// Gives those that were started, and with each that was not, why.
pub fn revive(containers: &Containers) -> Result<Vec<(ContainerId, Result<u32>)>> {
    let mut revived = Vec::new();
    for id in containers.ids("containers")? {
        let (Ok(container), Ok(now)) = (containers.container(&id), status(containers, &id)) else {
            continue;
        };
        let by_hand =
            read_bounded(&containers.place(&id).file("stopped")).is_ok_and(|mark| mark == BY_HAND);
        let wanted = match container.asked.restart {
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !by_hand,
            RestartPolicy::No | RestartPolicy::OnFailure { .. } => false,
        };
        if wanted && now.state == State::Exited {
            let started = start(containers, &id);
            revived.push((id, started));
        }
    }
    Ok(revived)
}

/// Stops a container: its stop signal, then SIGKILL when the time is over. The restart policy rests.
/// Stopping what does not run is done already.
pub fn stop(containers: &Containers, id: &ContainerId, timeout: Option<Duration>) -> Result<()> {
    let now = status(containers, id)?;
    if matches!(now.state, State::Created | State::Exited) {
        return Ok(());
    }
    let place = containers.place(id);
    place.write_bytes("stopped", BY_HAND)?;
    let container = containers.container(id)?;
    let machine = machine(containers, &container);
    let timeout = timeout.unwrap_or(container.asked.stop_timeout);
    if !timeout.is_zero() {
        // It may end at this moment; whether it did is seen below.
        let _ = machine.signal(id, container.asked.stop_signal);
        thaw(containers, id, machine.as_ref());
        if ended(containers, id, timeout)? {
            return stopped(containers, id);
        }
    }
    let until = Instant::now() + AFTER_KILL;
    while Instant::now() < until {
        // Again and again: a monitor between two runs may have one more process up by now.
        let _ = machine.signal(id, libc::SIGKILL);
        thaw(containers, id, machine.as_ref());
        if ended(containers, id, Duration::from_millis(500))? {
            return stopped(containers, id);
        }
    }
    Err(RunError::Late { id: id.clone(), verb: "stop" })
}

/// Notes the stop; where no monitor lives to write the end, this does.
fn stopped(containers: &Containers, id: &ContainerId) -> Result<()> {
    event::note(containers, id, "stop", None);
    let place = containers.place(id);
    if place.has("state.json")
        && let Some(_lock) = place.lock()?
        && place.has("state.json")
    {
        crate::collect::bury(containers, &place)?;
    }
    Ok(())
}

fn thaw(containers: &Containers, id: &ContainerId, machine: &dyn Machine) {
    if containers.place(id).has("paused") {
        let _ = machine.freeze(id, Freeze::Resume);
        let _ = containers.place(id).clear("paused");
    }
}

/// Waits for the end; one that went away altogether has ended too.
fn ended(containers: &Containers, id: &ContainerId, within: Duration) -> Result<bool> {
    let place = containers.place(id);
    let begun = Instant::now();
    let Ok(watch) = Watch::new(&place.dir) else { return Ok(!place.dir.exists()) };
    loop {
        match status(containers, id) {
            Ok(now) if now.state != State::Exited => {}
            Ok(_) | Err(RunError::NotFound(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
        let Some(left) = within.checked_sub(begun.elapsed()) else { return Ok(false) };
        watch.wait(left.min(Duration::from_millis(20)))?;
    }
}

/// Sends a signal to the first process.
pub fn kill(containers: &Containers, id: &ContainerId, signal: i32) -> Result<()> {
    allowed(containers, id, &[State::Running, State::Paused], "take a signal")?;
    let container = containers.container(id)?;
    machine(containers, &container).signal(id, signal)?;
    event::note(containers, id, "kill", None);
    Ok(())
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs.
    Running,
    /// It has ended and will not be started again.
    Exited,
    /// It is well.
    Healthy,
    /// It is gone.
    Removed,
}

/// Waits for a condition, without end or for a time. Gives how the container last ended, as far as that
/// is known; one that removes itself is found in the events.
pub fn wait(
    containers: &Containers,
    id: &ContainerId,
    condition: Condition,
    within: Option<Duration>,
) -> Result<Option<ExitStatus>> {
    let place = containers.place(id);
    let begun = Instant::now();
    let mut known = None;
    let watch = Watch::new(&place.dir).map_err(|_| RunError::NotFound(id.to_string()))?;
    loop {
        let now = match status(containers, id) {
            Ok(now) => now,
            Err(RunError::NotFound(_))
                if matches!(condition, Condition::Exited | Condition::Removed) =>
            {
                return Ok(event::last_end(containers, id)?.or(known));
            }
            Err(error) => return Err(error),
        };
        known = now.exit.as_ref().map(|exit| exit.status).or(known);
        let met = match condition {
            Condition::Running => now.state == State::Running,
            Condition::Exited => now.state == State::Exited,
            Condition::Healthy => now.health == Some(crate::Health::Healthy),
            Condition::Removed => false,
        };
        if met {
            return Ok(known);
        }
        let left = within.map_or(Some(LONGEST), |within| within.checked_sub(begun.elapsed()));
        let Some(left) = left else {
            return Err(RunError::Late { id: id.clone(), verb: "come to that" });
        };
        watch.wait(left.min(Duration::from_millis(50)))?;
    }
}

/// Freezes or thaws a container.
pub fn freeze(containers: &Containers, id: &ContainerId, freeze: Freeze) -> Result<()> {
    let (from, verb) = match freeze {
        Freeze::Pause => (State::Running, "pause"),
        Freeze::Resume => (State::Paused, "resume"),
    };
    allowed(containers, id, &[from], verb)?;
    let container = containers.container(id)?;
    machine(containers, &container).freeze(id, freeze)?;
    let place = containers.place(id);
    match freeze {
        Freeze::Pause => place.write_bytes("paused", b"")?,
        Freeze::Resume => place.clear("paused")?,
    }
    event::note(containers, id, verb, None);
    Ok(())
}

pub(crate) fn machine(containers: &Containers, container: &Container) -> Box<dyn Machine> {
    crate::runtime::open(containers, &container.asked)
}

pub(crate) fn allowed(
    containers: &Containers,
    id: &ContainerId,
    states: &[State],
    verb: &'static str,
) -> Result<()> {
    let state = status(containers, id)?.state;
    if states.contains(&state) {
        return Ok(());
    }
    Err(RunError::State { id: id.clone(), state: state.word().to_owned(), verb })
}

/// The processes of a running container, in the numbers of this machine.
pub fn processes(containers: &Containers, id: &ContainerId) -> Result<Vec<u32>> {
    allowed(containers, id, &[State::Running, State::Paused], "have processes")?;
    machine(containers, &containers.container(id)?).processes(id)
}

/// What a running container uses.
pub fn stats(containers: &Containers, id: &ContainerId) -> Result<Usage> {
    allowed(containers, id, &[State::Running, State::Paused], "be measured")?;
    machine(containers, &containers.container(id)?).usage(id)
}
