//! The life of a container after its creation: start, state, signals, end.

use crate::error::{Doing, Error, Result};
use crate::groups::{Group, Motion};
use crate::order::{Channel, Message};
use crate::record::{Access, CONFIG_FILE, Record, Room, START_SOCKET};
use crate::{Engine, create, hooks, namespaces, sys};
use oci_spec::runtime::{ContainerState, LinuxNamespaceType, Process, State};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SocketAddrUnix;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How long the end of a creation is waited for by who asks for the state, and how long between two looks.
const CREATION: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
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
    let config = room.config()?;
    let Some(all) = config.hooks() else { return Ok(()) };
    let begun = hooks::run_all(all.poststart(), &record.state);
    if begun.is_err() {
        // One that fails ends the container (runtime-spec, lifecycle). The first error is the one to tell.
        let _ = take_away(engine, &room, record);
    }
    begun
}

/// Runs the hooks after the end, all of them: one that fails ends nothing and is told (runtime-spec, lifecycle).
fn run_poststop(engine: &Engine, room: &Room, record: &Record) {
    // A creation that was broken off has no configuration, and no hooks.
    let Ok(config) = room.config() else { return };
    let Some(all) = config.hooks() else { return };
    for hook in all.poststop().iter().flatten() {
        if let Err(error) = hooks::run_all(&Some(vec![hook.clone()]), &record.state) {
            let told = match error {
                Error::Hook { path, detail } => format!("{detail}: {}", path.display()),
                other => format!("hook: {other}"),
            };
            (engine.tell)(&format!("container {}: poststop {told}", room.id));
        }
    }
}

fn expect(record: &Record, status: ContainerState, wanted: &'static str) -> Result<()> {
    let (now, id) = (*record.state.status(), record.state.id().clone());
    if now == status { Ok(()) } else { Err(Error::Status { id, status: now.to_string(), wanted }) }
}

/// The state of a container, as the specification writes it. Where it is just being created, the end of that is waited
/// for a while.
pub fn state(engine: &Engine, id: &str) -> Result<State> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    let begun = Instant::now();
    let mut state = loop {
        let state = room.load()?.state;
        if *state.status() != ContainerState::Creating || begun.elapsed() > CREATION {
            break state;
        }
        std::thread::sleep(PAUSE);
    };
    if *state.status() == ContainerState::Stopped {
        state.set_pid(None);
    }
    Ok(state)
}

/// What is known of a container beside its state.
#[derive(Clone, Debug)]
pub struct Details {
    /// The state.
    pub state: State,
    /// Whether it is paused; then the state says that it is running.
    pub is_paused: bool,
    /// The root file system.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: SystemTime,
    /// The user who created it.
    pub owner: u32,
}

/// The state of a container, and what else runtimes of the field tell of one.
pub fn details(engine: &Engine, id: &str) -> Result<Details> {
    let state = state(engine, id)?;
    let room = Room::open(&engine.root, id, Access::Look)?;
    let is_running = *state.status() == ContainerState::Running;
    let is_paused = is_running && room.groups()?.motion() == Motion::Frozen;
    let rootfs = room.config().ok().and_then(|config| Some(config.root().as_ref()?.path().clone()));
    let rootfs = state.bundle().join(rootfs.unwrap_or_default());
    // Written once, when the creation begins.
    let found = std::fs::metadata(room.path.join(CONFIG_FILE));
    let found = found.doing(|| format!("ask when container {id} was created"))?;
    let created = found.modified().doing(|| format!("ask when container {id} was created"))?;
    Ok(Details { state, is_paused, rootfs, created, owner: found.uid() })
}

/// The process of a container's configuration, which further ones are like.
pub fn process(engine: &Engine, id: &str) -> Result<Process> {
    let config = Room::open(&engine.root, id, Access::Look)?.config()?;
    Ok(config.process().clone().unwrap_or_default())
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

/// Sends a signal to the first process. Its end is the end of all in a pid namespace of its own; without one, SIGKILL
/// goes to all processes of the container's control groups.
pub fn kill(engine: &Engine, id: &str, signal: i32) -> Result<()> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    let record = room.load()?;
    match room.hold(&record)? {
        Some(process) => {
            sys::signal(&process, signal)
                .doing(|| format!("send signal {signal} to container {id}"))?;
            if signal == libc::SIGKILL {
                let group = room.groups()?;
                // In version 1 a paused process rests until it is let out, even from dying.
                group.thaw();
                if !group.members.is_empty() && !has_own_pids(&room)? {
                    group.kill()?;
                }
            }
            Ok(())
        }
        None => expect(&record, ContainerState::Running, "created or running"),
    }
}

/// Whether the container's processes end with its first one.
fn has_own_pids(room: &Room) -> Result<bool> {
    let config = room.config()?;
    let linux = config.linux().as_ref();
    Ok(linux.is_some_and(|linux| namespaces::creates(linux, LinuxNamespaceType::Pid)))
}

/// Deletes what is left of a container, and runs its poststop hooks. Ends whatever runs in its control groups
/// and removes them. Without groups, processes of a container that shares its pid namespace are not found:
/// whoever shares one ends them.
pub fn delete(engine: &Engine, id: &str, force: Force) -> Result<()> {
    let room = match Room::open(&engine.root, id, Access::Change) {
        Err(Error::Missing { .. }) if force == Force::Yes => return Ok(()),
        other => other?,
    };
    let record = room.load()?;
    // A container that never started is nobody's work: runtimes of the field end it without force, too.
    if force == Force::No && *record.state.status() == ContainerState::Running {
        expect(&record, ContainerState::Stopped, "stopped")?;
    }
    take_away(engine, &room, record)
}

/// Ends what runs of a container, runs its hooks after the end, and removes what is kept of it.
fn take_away(engine: &Engine, room: &Room, mut record: Record) -> Result<()> {
    let group = room.groups()?;
    if let Some(process) = room.hold(&record)? {
        end(&process, &group)?;
    }
    group.end()?;
    record.state.set_status(ContainerState::Stopped).set_pid(None);
    run_poststop(engine, room, &record);
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
