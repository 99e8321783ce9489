//! The life of a container after its creation: start, state, signals, end.

use crate::error::{Doing, Error, Result};
use crate::groups::Group;
use crate::order::{Channel, Message};
use crate::record::{Access, Record, Room, START_SOCKET};
use crate::{Engine, create, hooks, sys};
use oci_spec::runtime::{ContainerState, Hook, Hooks, State};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SocketAddrUnix;
use std::os::fd::OwnedFd;

/// How long a deletion by force waits for the end of the first process.
const END_SECONDS: i64 = 10;

/// Whether a container that runs is ended for its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Only a stopped container is deleted.
    No,
    /// What runs is ended first; and that there is no such container is no error.
    Yes,
}

/// Lets the first process of a created container become its program. When the program cannot be run, that is
/// the error, and the container is stopped.
pub fn start(engine: &Engine, id: &str) -> Result<()> {
    let room = Room::open(&engine.root, id, Access::Change)?;
    let mut record = room.load()?;
    expect(&record, ContainerState::Created, "created")?;
    let socket = create::unix_socket()?;
    let address =
        SocketAddrUnix::new(room.short_path(START_SOCKET)).doing(|| "name the start socket")?;
    rustix::net::connect(&socket, &address)
        .doing(|| format!("reach the first process of container {id}"))?;
    let channel = Channel::from_socket(socket);
    channel.send(&Message::Go)?;
    let answer = channel.receive();
    std::fs::remove_file(room.path.join(START_SOCKET)).doing(|| "remove the start socket")?;
    match answer {
        // The socket closed with the exec.
        Ok(None) => {}
        Ok(Some(Message::Failed(failure))) => return Err(failure.into()),
        Ok(Some(other)) => {
            return Err(Error::Stage { text: format!("the first process said {other:?}") });
        }
        Err(error) => return Err(error),
    }
    record.state.set_status(ContainerState::Running);
    room.save(&record)?;
    run_hooks(&room, &record, Hooks::poststart)
}

/// Hooks of the runtime's namespace after the start: that one fails ends nothing (runtime-spec, lifecycle,
/// steps 10 and 13: log a warning and go on), so the error is only that no configuration could be read.
fn run_hooks(room: &Room, record: &Record, pick: fn(&Hooks) -> &Option<Vec<Hook>>) -> Result<()> {
    let config = room.config()?;
    if let Some(all) = config.hooks() {
        for hook in pick(all).iter().flatten() {
            let _ = hooks::run_all(&Some(vec![hook.clone()]), &record.state);
        }
    }
    Ok(())
}

fn expect(record: &Record, status: ContainerState, wanted: &'static str) -> Result<()> {
    let (now, id) = (*record.state.status(), record.state.id().clone());
    if now == status { Ok(()) } else { Err(Error::Status { id, status: now.to_string(), wanted }) }
}

/// The state of a container, as the specification writes it.
pub fn state(engine: &Engine, id: &str) -> Result<State> {
    let mut state = Room::open(&engine.root, id, Access::Look)?.load()?.state;
    if *state.status() == ContainerState::Stopped {
        state.set_pid(None);
    }
    Ok(state)
}

/// All containers, by their names. One that vanishes meanwhile is left out.
pub fn list(engine: &Engine) -> Result<Vec<State>> {
    let entries = match std::fs::read_dir(&engine.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("list {}", engine.root.display()))?,
    };
    let mut states: Vec<State> =
        entries.filter_map(|entry| state(engine, entry.ok()?.file_name().to_str()?).ok()).collect();
    states.sort_by(|one, other| one.id().cmp(other.id()));
    Ok(states)
}

/// Sends a signal to the first process. Its end is the end of all in a pid namespace of its own.
pub fn kill(engine: &Engine, id: &str, signal: i32) -> Result<()> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    let record = room.load()?;
    match room.hold(&record)? {
        Some(process) => {
            sys::signal(&process, signal)
                .doing(|| format!("send signal {signal} to container {id}"))?;
            if signal == libc::SIGKILL {
                // In version 1 a paused process rests until it is let out, even from dying.
                room.groups()?.thaw();
            }
            Ok(())
        }
        None => expect(&record, ContainerState::Running, "created or running"),
    }
}

/// Deletes what is left of a container, and runs its poststop hooks. Ends whatever runs in its control groups
/// and removes them. Without groups, processes of a container that shares its pid namespace are not found:
/// whoever shares one ends them.
pub fn delete(engine: &Engine, id: &str, force: Force) -> Result<()> {
    let room = match Room::open(&engine.root, id, Access::Change) {
        Err(Error::Missing { .. }) if force == Force::Yes => return Ok(()),
        other => other?,
    };
    let mut record = room.load()?;
    // A container that never started is nobody's work: runtimes of the field end it without force, too.
    if force == Force::No && *record.state.status() == ContainerState::Running {
        expect(&record, ContainerState::Stopped, "stopped")?;
    }
    let group = room.groups()?;
    if let Some(process) = room.hold(&record)? {
        end(&process, &group)?;
    }
    group.end()?;
    record.state.set_status(ContainerState::Stopped).set_pid(None);
    // A creation that was broken off has no configuration, and no hooks.
    let _ = run_hooks(&room, &record, Hooks::poststop);
    room.remove()
}

/// Kills the first process, and with it the pid namespace, and waits for its end.
fn end(process: &OwnedFd, group: &Group) -> Result<()> {
    match sys::signal(process, libc::SIGKILL) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        other => other.doing(|| "end the first process")?,
    }
    group.thaw();
    let limit = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ends, Some(&limit)));
    match ended.doing(|| "wait for the end of the first process")? {
        0 => Err(Error::Stage { text: "the first process does not end".to_owned() }),
        _ => Ok(()),
    }
}
