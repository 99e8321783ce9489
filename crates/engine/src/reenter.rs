//! The running program once more, as the root of a user namespace, for what an ordinary user may not do
//! otherwise.
//!
//! This process itself enters the namespaces and becomes the program, so that its pid, its signals, its
//! terminal and its exit code stay what its caller knows. A helper, left outside, writes the mapping.

use crate::error::{Doing, Error, Result};
use crate::mapping::Mapping;
use crate::order::{Channel, Message};
use crate::stage::{MAPPER, STAGE, adopted};
use crate::{namespaces, sys};
use oci_spec::runtime::LinuxIdMapping;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

/// Becomes `program` (a binary that calls [`crate::stage`]) with `arguments`, inside a new user and a new
/// mount namespace. The environment is this process's and `environment`. It returns only when that failed;
/// this process must have one thread, and may not go on when it is in the new namespaces already.
pub fn reenter(
    mapping: &Mapping,
    program: &Path,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> Error {
    match enter(mapping, program) {
        Err(error) => error,
        Ok(()) => {
            let mut command = Command::new(program);
            let source = command.args(arguments).envs(environment.iter().cloned()).exec();
            Error::Io { action: format!("run {}", program.display()), source }
        }
    }
}

fn enter(mapping: &Mapping, program: &Path) -> Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let theirs = theirs.into_socket();
    let written = |ids: &[LinuxIdMapping]| {
        serde_json::to_string(ids).map_err(std::io::Error::from).doing(|| "write a mapping")
    };
    let mut command = Command::new(program);
    command.args([STAGE, MAPPER]).arg(theirs.as_raw_fd().to_string());
    command.arg(std::process::id().to_string());
    command.arg(written(&mapping.uids)?).arg(written(&mapping.gids)?);
    sys::inherit(&mut command, vec![theirs.as_raw_fd()]);
    let mut helper = command.spawn().doing(|| format!("run {}", program.display()))?;
    drop(theirs);
    let entered = converse(&ours, &mut helper);
    drop(ours);
    // It ends by itself, at the latest when the channel closes.
    let _ = helper.wait();
    entered?;
    namespaces::become_root()
}

fn converse(channel: &Channel, helper: &mut Child) -> Result<()> {
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).doing(|| "make a user namespace")?;
    channel.send(&Message::Map)?;
    match channel.receive()? {
        Some(Message::Go) => Ok(()),
        Some(Message::Failed(failure)) => Err(failure.into()),
        other => {
            let status = helper.wait().map(|status| status.to_string()).unwrap_or_default();
            Err(Error::Stage { text: format!("the mapper said {other:?} and ended with {status}") })
        }
    }
}

/// The helper's side: waits until the other is in its namespace, and gives it its ids.
pub(crate) fn stage(words: &[&str]) -> Result<()> {
    let channel = Channel::from_socket(adopted(words.first())?);
    let by_hand = || Error::Unsupported { what: "a stage called by hand".to_owned() };
    let pid: i32 = words.get(1).and_then(|word| word.parse().ok()).ok_or_else(by_hand)?;
    let ids = |word: Option<&&str>| -> Result<Vec<LinuxIdMapping>> {
        word.and_then(|word| serde_json::from_str(word).ok()).ok_or_else(by_hand)
    };
    let (uids, gids) = (ids(words.get(2))?, ids(words.get(3))?);
    match channel.receive()? {
        Some(Message::Map) => {}
        // It could not make the namespace, and tells that itself.
        _ => return Ok(()),
    }
    match namespaces::map(pid, &uids, &gids) {
        Ok(()) => channel.send(&Message::Go),
        Err(error) => channel.send(&Message::Failed(error.into())),
    }
}
