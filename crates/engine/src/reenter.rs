//! A program run once more as the root of a user namespace, for what an ordinary user may not do otherwise.

use crate::error::{Doing, Error, Result};
use crate::mapping::Mapping;
use crate::order::{Channel, Message};
use crate::stage::{REENTER, STAGE, adopted};
use crate::{namespaces, sys};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Runs `program` (a binary that calls [`crate::stage`]) with `arguments` inside a new user and a new mount
/// namespace, and waits for its end. The environment is this process's and `environment`.
pub fn reenter(
    mapping: &Mapping,
    program: &Path,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<ExitStatus> {
    let (ours, theirs) = Channel::pair()?;
    let theirs = theirs.into_socket();
    let mut command = Command::new(program);
    command.args([STAGE, REENTER]).arg(theirs.as_raw_fd().to_string());
    command.arg(program).args(arguments).envs(environment.iter().cloned());
    sys::inherit(&mut command, vec![theirs.as_raw_fd()]);
    let mut child = command.spawn().doing(|| format!("run {}", program.display()))?;
    drop(theirs);
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let led = lead(&ours, pid, mapping);
    if led.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().doing(|| format!("wait for {}", program.display()))?;
    led.map(|()| status)
}

fn lead(channel: &Channel, pid: i32, mapping: &Mapping) -> Result<()> {
    match channel.receive()? {
        Some(Message::Map) => {}
        Some(Message::Failed(failure)) => return Err(failure.into()),
        other => return Err(Error::Stage { text: format!("the stage ended early ({other:?})") }),
    }
    namespaces::map(pid, &mapping.uids, &mapping.gids)?;
    channel.send(&Message::Go)?;
    match channel.receive()? {
        // The channel closed with the exec.
        None => Ok(()),
        Some(Message::Failed(failure)) => Err(failure.into()),
        other => Err(Error::Stage { text: format!("the stage said {other:?}") }),
    }
}

/// The child's side: enters the namespaces, waits for its ids, becomes the program.
pub(crate) fn stage(words: &[&str], command: &[OsString]) -> Result<()> {
    let channel = Channel::from_socket(adopted(words.first())?);
    let error = match enter(&channel, command) {
        Err(error) => error,
        Ok(error) => Error::Io { action: format!("run {command:?}"), source: error },
    };
    channel.send(&Message::Failed(error.into()))?;
    Err(Error::Stage { text: String::new() })
}

fn enter(channel: &Channel, command: &[OsString]) -> Result<std::io::Error> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Error::Unsupported { what: "a stage called by hand".to_owned() })?;
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).doing(|| "make a user namespace")?;
    channel.send(&Message::Map)?;
    channel.expect_go()?;
    namespaces::become_root()?;
    Ok(Command::new(program).args(arguments).exec())
}
