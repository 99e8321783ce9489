//! One more process in a container that runs.

use crate::error::{Error, Result};
use crate::groups::plan::is_in_user_namespace;
use crate::groups::{Doors, Motion};
use crate::order::{Message, Order, Task, write_order};
use crate::record::{Access, Room};
use crate::spawn::{Stage, Stdio};
use crate::{Engine, apparmor, create, spawn};
use oci_spec::runtime::{ContainerState, Process, Spec};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// The process to run, and with what.
#[derive(Debug, Default)]
pub struct Exec {
    /// The process.
    pub process: Process,
    /// The socket that takes the master of the terminal, when the process has one.
    pub console_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// The three standard streams.
    pub stdio: Stdio,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Whether it is put into a container that is paused, too, where it waits with the others.
    pub ignore_paused: bool,
    /// The group below the container's that it is put into, which must be there.
    pub group: Option<PathBuf>,
}

/// Runs one more process in the container and returns its pid; it is a child of this process, see
/// [`crate::wait`]. When the program cannot be run, that is the error.
pub fn exec(engine: &Engine, id: &str, wanted: &Exec) -> Result<i32> {
    exec_while(engine, id, wanted, &|| false)
}

/// The same, until `is_unwanted` says so: a container can stop the process before it is the program. What was begun
/// is ended then, and that is an error.
pub fn exec_while(
    engine: &Engine,
    id: &str,
    wanted: &Exec,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<i32> {
    if !create::is_user(wanted.process.user()) {
        let detail = format!("an id of process.user is {}, which is no user or group", u32::MAX);
        return Err(Error::Config { path: PathBuf::new(), detail });
    }
    apparmor::check(&wanted.process)?;
    if let Some(group) = &wanted.group
        && group.components().any(|part| part == std::path::Component::ParentDir)
    {
        let what = format!("the group {}: `..` components lead upwards", group.display());
        return Err(Error::Unsupported { what });
    }
    let room = Room::open(&engine.root, id, Access::Look)?;
    let record = room.load()?;
    let status = *record.state.status();
    let stopped =
        || Error::Status { id: id.to_owned(), status: status.to_string(), wanted: "running" };
    if status != ContainerState::Running {
        return Err(stopped());
    }
    let group = room.groups()?;
    group.expect_whole()?;
    if !wanted.ignore_paused && group.motion() == Motion::Frozen {
        let (id, status) = (id.to_owned(), "paused".to_owned());
        return Err(Error::Status { id, status, wanted: "running" });
    }
    let target = room.hold(&record)?.ok_or_else(stopped)?;
    let config = room.config()?;
    let preserve = i32::try_from(wanted.preserve_fds).unwrap_or(i32::MAX - 3);
    let above = 3_i32.saturating_add(preserve);
    let target = spawn::lift(target, above)?;
    let console = wanted.console_socket.as_deref().map(create::connect).transpose()?;
    let console = console.map(|socket| spawn::lift(socket, above)).transpose()?;
    let linux = config.linux().clone().unwrap_or_default();
    let doors = match &wanted.group {
        None => group.doors(above, is_in_user_namespace(&linux)?)?,
        Some(_) => Doors::shut(),
    };
    let order = Order {
        id: id.to_owned(),
        bundle: record.state.bundle().clone(),
        spec: needed(config),
        preserve,
        console: console.as_ref().map(AsRawFd::as_raw_fd),
        entrance: doors.entrance(),
        task: Task::Enter { pidfd: target.as_raw_fd(), process: Box::new(wanted.process.clone()) },
    };
    let order_file = spawn::lift(write_order(&order)?, above)?;
    let passed = [Some(&target), console.as_ref()].into_iter().flatten().map(AsRawFd::as_raw_fd);
    let passed: Vec<_> = passed.chain(doors.numbers()).collect();
    let mut stage = Stage::spawn(&engine.program, &order_file, &passed, &wanted.stdio, above)?;
    drop((console, doors));
    let first = record.state.pid().unwrap_or(0);
    let join = |pid| match &wanted.group {
        Some(below) => group.join_below(pid, below),
        None => group.join(pid, first),
    };
    let done = converse(&mut stage, wanted, &join, is_unwanted);
    stage.reap(&done)?;
    match done.and_then(|()| stage.part()) {
        Ok(()) => stage.process().ok_or_else(stopped),
        Err(error) => {
            stage.tear_down();
            Err(error)
        }
    }
}

/// Only what a further process takes from the container's configuration.
fn needed(config: Spec) -> Spec {
    let mut spec = Spec::default();
    spec.set_version(config.version().clone()).set_mounts(None).set_linux(config.linux().clone());
    spec
}

/// Leads the stages to the point where the program runs.
fn converse(
    stage: &mut Stage,
    wanted: &Exec,
    join: &dyn Fn(i32) -> Result<()>,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<()> {
    stage.let_go()?;
    let mut inner = None;
    loop {
        match stage.hear_while(is_unwanted)? {
            Some(Message::Here { placed }) => {
                inner = stage.process();
                inner.filter(|_| !placed).map_or(Ok(()), join)?;
                stage.channel.send(&Message::Go)?;
            }
            // The inner stage's word of its child, which waits; that of the outer one waits for nothing.
            Some(Message::Forked(pid))
                if stage.process() == Some(pid) && inner.is_some_and(|inner| inner != pid) =>
            {
                if let Some(file) = &wanted.pid_file {
                    create::write_pid(file, pid)?;
                }
                stage.channel.send(&Message::Go)?;
            }
            Some(Message::Forked(_)) => {}
            Some(Message::Ready) => return Ok(()),
            Some(Message::Failed(failure)) => return Err(failure.into()),
            other => {
                return Err(Error::Stage { text: format!("the stage ended early ({other:?})") });
            }
        }
    }
}
