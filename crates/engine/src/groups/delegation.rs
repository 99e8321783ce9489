//! What a group has to hand down before groups below it are of use.

use super::directory::Directory;
use super::table::Version;
use super::{PROCESSES, Refused};
use std::collections::BTreeSet;
use std::io;

/// The file of version 2 that says which controllers groups below have.
const BELOW: &str = "cgroup.subtree_control";

/// Enables controllers for the groups below one of version 2, and tells which of those that it has could not
/// be. What it has not is found missing by who wants it.
///
/// A group with processes hands nothing down: the kernel refuses some controllers there, and for the others makes a
/// group of threads of it, below which no container can be, and which its owner would find changed (kernel
/// documentation, cgroup-v2, "Threads").
pub(crate) fn enable(directory: &Directory, wanted: &BTreeSet<&str>) -> Vec<Refused> {
    let words = |file: &str| -> BTreeSet<String> {
        let text = directory.read(file).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let (has, below) = (words("cgroup.controllers"), words(BELOW));
    let missing = has.difference(&below).filter(|name| wanted.contains(&***name));
    let mut missing = missing.peekable();
    let populated = missing.peek().is_some() && is_populated(directory);
    missing
        .filter_map(|name| {
            let error = if populated {
                io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "it has processes of its own, so that groups below it can have no limits",
                )
            } else {
                directory.write(BELOW, &format!("+{name}")).err()?
            };
            let (controllers, path) = (vec![name.clone()], directory.path.join(BELOW));
            Some(Refused { version: Version::Two, controllers, path, error })
        })
        .collect()
}

/// Whether groups below one of version 2 have a controller, or can be given it.
pub(crate) fn can_enable(directory: &Directory, controller: &str) -> bool {
    let has = |file: &str| {
        let text = directory.read(file).unwrap_or_default();
        text.split_ascii_whitespace().any(|name| name == controller)
    };
    has(BELOW)
        || (has("cgroup.controllers") && !is_populated(directory) && directory.may_write(BELOW))
}

/// Whether a group of version 2 has processes itself. The root of the machine may, and hands down all the same:
/// it is the one without a type.
fn is_populated(directory: &Directory) -> bool {
    // One of threads does not tell.
    directory.has("cgroup.type")
        && directory.read(PROCESSES).map_or(true, |text| !text.trim().is_empty())
}

/// A new group of version 1 has no processor and no memory, and takes no process, until it is given some.
pub(crate) fn inherit_cpuset(above: &Directory, new: &Directory) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if new.read(file)?.trim().is_empty() {
            new.write(file, above.read(file)?.trim())?;
        }
    }
    Ok(())
}
