//! Containers of an ordinary user: the command becomes the root of a user namespace of its own, or joins
//! the one in which a container runs.

use std::io::Read as _;

use corten_engine::{Mapping, Subordinate};

use crate::Failure;

/// Most bytes of the machine's list of users that are read.
const MAX_PASSWD: u64 = 4 << 20;

/// Whether this process is an ordinary user's, outside of any user namespace of ours.
pub(crate) fn is_ordinary() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Becomes the root of a user namespace with all the ids this user may have, or else says why it has one alone.
/// Only before any thread starts; what was asked of the user and its powers before is no longer true.
pub(crate) fn enter() -> Result<Option<&'static str>, Failure> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mapping = Mapping::of_user(uid, gid, name_of(uid).as_deref()).map_err(refused)?;
    corten_engine::make_user_namespace(&mapping).map_err(refused)?;
    Ok(why(mapping.subordinate))
}

/// Why this user would have one id alone in a namespace, without entering one; `None` where there are ranges.
pub(crate) fn why_one_id() -> Option<&'static str> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    match Mapping::of_user(uid, gid, name_of(uid).as_deref()) {
        Ok(mapping) => why(mapping.subordinate),
        Err(_) => Some("the tables of ranges cannot be read"),
    }
}

fn why(subordinate: Subordinate) -> Option<&'static str> {
    match subordinate {
        Subordinate::NoRanges => Some("/etc/subuid and /etc/subgid give you no range of ids"),
        Subordinate::NoMapper => Some("newuidmap and newgidmap are not installed (package uidmap)"),
        _ => None,
    }
}

/// Joins the user namespace in which the process `pid` runs.
pub(crate) fn join(pid: u32) -> Result<(), Failure> {
    let pid = i32::try_from(pid).unwrap_or(0);
    // One that has ended meanwhile is told by the verb.
    let Some(start) = corten_engine::start_time(pid) else { return Ok(()) };
    corten_engine::join_user_namespace_of(pid, start).map_err(refused)
}

fn refused(error: corten_engine::Error) -> Failure {
    Failure::Io {
        object: "a user namespace for containers of yours".to_owned(),
        action: "making",
        source: std::io::Error::other(error.to_string()),
    }
}

/// The name of a user of this machine, for the lists of ranges.
fn name_of(uid: u32) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open("/etc/passwd").ok()?.take(MAX_PASSWD).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
