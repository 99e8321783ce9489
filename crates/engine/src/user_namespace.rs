//! A user namespace for the calling process itself, in which it may do what an ordinary user may not do
//! otherwise.
//!
//! A helper, left outside, writes the mapping: a child, forked while this process has one thread.

use crate::error::{Doing, Error, Result};
use crate::mapping::Mapping;
use crate::order::{Channel, Message};
use crate::{namespaces, spawn, sys};
use rustix::process::DumpableBehavior;

/// Makes a user namespace and a mount namespace for this process, and makes it their root. Its pid, its
/// signals, its terminal and its exit code stay what its caller knows.
///
/// This process must have one thread, and may not go on when this failed: it may be in the namespaces already,
/// without its ids. What it asked of its user and its rights before is no longer true.
pub fn make_user_namespace(mapping: &Mapping) -> Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let own = rustix::process::getpid().as_raw_pid();
    let Some(helper) = sys::fork().doing(|| "fork the mapper")? else {
        // So that it hears of this process's end.
        drop(ours);
        sys::end_at_once(if help(&theirs, own, mapping).is_ok() { 0 } else { 1 });
    };
    drop(theirs);
    let entered = converse(&ours);
    drop(ours);
    // It ends by itself, at the latest when the channel closes.
    let ended = spawn::wait(helper);
    entered?;
    if ended? != 0 {
        return Err(Error::Stage { text: "the mapper failed".to_owned() });
    }
    namespaces::become_root()?;
    // The kernel has hidden this process, as one that gained rights, from its own procfs entries.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
        .doing(|| "show this process again")
}

fn converse(channel: &Channel) -> Result<()> {
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).doing(|| "make a user namespace")?;
    channel.send(&Message::Map)?;
    match channel.receive()? {
        Some(Message::Go) => Ok(()),
        Some(Message::Failed(failure)) => Err(failure.into()),
        other => Err(Error::Stage { text: format!("the mapper said {other:?}") }),
    }
}

/// The helper's side: waits until the other is in its namespace, and gives it its ids.
fn help(channel: &Channel, pid: i32, mapping: &Mapping) -> Result<()> {
    match channel.receive()? {
        Some(Message::Map) => {}
        // It could not make the namespace, and tells that itself.
        _ => return Ok(()),
    }
    match namespaces::map(pid, &mapping.uids, &mapping.gids) {
        Ok(()) => channel.send(&Message::Go),
        Err(error) => channel.send(&Message::Failed(error.into())),
    }
}
