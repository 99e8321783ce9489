//! What is done to a container from outside while it runs, through its control groups.

use crate::Engine;
use crate::error::{Doing, Error, Result};
use crate::groups::plan::Plan;
use crate::groups::{Group, Motion, OomWatch, Stats};
use crate::record::{Access, Record, Room};
use oci_spec::runtime::{ContainerState, LinuxNamespaceType, LinuxResources};

/// Opens a container that has processes.
fn open(engine: &Engine, id: &str, access: Access) -> Result<(Room, Record, Group)> {
    let room = Room::open(&engine.root, id, access)?;
    let record = room.load()?;
    let status = *record.state.status();
    if !matches!(status, ContainerState::Created | ContainerState::Running) {
        let (id, status) = (id.to_owned(), status.to_string());
        return Err(Error::Status { id, status, wanted: "created or running" });
    }
    let group = room.groups()?;
    Ok((room, record, group))
}

fn without(id: &str, what: &str) -> Error {
    Error::Unsupported { what: format!("{what} of container {id}, which has no control group") }
}

/// Stops all processes of a container where they are, until [`resume`]. One that is paused stays so.
pub fn pause(engine: &Engine, id: &str) -> Result<()> {
    set_motion(engine, id, Motion::Frozen)
}

/// Lets the processes of a paused container go on. One that is not paused stays so.
pub fn resume(engine: &Engine, id: &str) -> Result<()> {
    set_motion(engine, id, Motion::Running)
}

fn set_motion(engine: &Engine, id: &str, motion: Motion) -> Result<()> {
    let (_room, record, group) = open(engine, id, Access::Change)?;
    if *record.state.status() != ContainerState::Running {
        let (id, status) = (id.to_owned(), record.state.status().to_string());
        return Err(Error::Status { id, status, wanted: "running" });
    }
    if group.members.is_empty() {
        return Err(without(id, "the pause"));
    }
    group.set_motion(motion)
}

/// Whether a container is paused. The specification has no word for this state, so that [`crate::state`] says
/// `running` all the while; runtimes of the field tell it as `paused`.
pub fn paused(engine: &Engine, id: &str) -> Result<bool> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    Ok(room.load()?.state.status() == &ContainerState::Running
        && room.groups()?.motion() == Motion::Frozen)
}

/// The processes of a container, by the numbers that they have for this process, lowest first.
pub fn processes(engine: &Engine, id: &str) -> Result<Vec<u32>> {
    let (room, record, group) = open(engine, id, Access::Look)?;
    if group.members.is_empty() {
        return processes_of_namespace(id, &room, &record);
    }
    // A process that is of no number here, since it is in another pid namespace, is told as 0.
    let seen = group.processes()?.into_iter().filter(|pid| *pid > 0);
    Ok(seen.map(i32::unsigned_abs).collect())
}

/// The processes of a container without control groups: those of its pid namespace, when it has one of its own.
fn processes_of_namespace(id: &str, room: &Room, record: &Record) -> Result<Vec<u32>> {
    let config = room.config()?;
    let alone = config
        .linux()
        .as_ref()
        .is_some_and(|linux| crate::namespaces::creates(linux, LinuxNamespaceType::Pid));
    let first = room.hold(record)?.and(*record.state.pid());
    match first.and_then(|pid| u32::try_from(pid).ok()) {
        Some(pid) if alone => crate::procfs::sharing_pids_with(pid)
            .doing(|| format!("list the processes of container {id}")),
        _ => Err(without(id, "the processes")),
    }
}

/// What a container uses.
pub fn stats(engine: &Engine, id: &str) -> Result<Stats> {
    let (_room, _record, group) = open(engine, id, Access::Look)?;
    if group.members.is_empty() {
        return Err(without(id, "the figures"));
    }
    Ok(group.stats())
}

/// What looks out for processes of a container that the kernel ends for lack of memory; `None` where no control group
/// counts them.
pub fn oom_watch(engine: &Engine, id: &str) -> Result<Option<OomWatch>> {
    let (_room, _record, group) = open(engine, id, Access::Look)?;
    Ok(group.oom_watch())
}

/// Sends a signal to all processes of a container. `SIGKILL` reaches those of a paused one, too, and is
/// waited for. In place of a control group, a pid namespace of its own serves for the end of all.
pub fn kill_all(engine: &Engine, id: &str, signal: i32) -> Result<()> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    let group = room.groups()?;
    if !group.members.is_empty() {
        return if signal == libc::SIGKILL { group.kill() } else { group.signal(signal) };
    }
    let config = room.config()?;
    let alone = config
        .linux()
        .as_ref()
        .is_some_and(|linux| crate::namespaces::creates(linux, LinuxNamespaceType::Pid));
    match room.hold(&room.load()?)? {
        Some(process) if alone && signal == libc::SIGKILL => crate::sys::signal(&process, signal)
            .doing(|| format!("send signal {signal} to container {id}")),
        None if alone => Ok(()),
        _ => Err(without(id, "a signal to all processes")),
    }
}

/// Changes the limits of a container. What `resources` does not name stays as it is; device rules, when there
/// are any, are replaced. After an error some limits may have been changed.
pub fn update(engine: &Engine, id: &str, resources: &LinuxResources) -> Result<()> {
    let (room, _record, group) = open(engine, id, Access::Change)?;
    if group.members.is_empty() {
        return Err(without(id, "the limits"));
    }
    check_memory(resources, &group)?;
    let mut config = room.config()?;
    let linux = config.linux_mut().get_or_insert_default();
    linux.set_resources(Some(resources.clone()));
    let plan = Plan::of(engine, linux, id)?;
    plan.limit(&group)?;
    plan.finish(&group)?;
    plan.tell(&group)
}

/// With `checkBeforeUpdate` a limit below what is in use is refused, in place of an end for lack of memory.
fn check_memory(resources: &LinuxResources, group: &Group) -> Result<()> {
    let Some(memory) = resources.memory() else { return Ok(()) };
    let limit =
        memory.limit().and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit != 0);
    match (memory.check_before_update(), limit, group.stats().memory_current) {
        (Some(true), Some(limit), Some(current)) if limit < current => Err(Error::Unsupported {
            what: format!("linux.resources.memory.limit {limit}, with {current} bytes in use"),
        }),
        _ => Ok(()),
    }
}
