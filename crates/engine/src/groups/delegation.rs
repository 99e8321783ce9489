//! What a group has to hand down before groups below it are of use.

use super::Refused;
use super::directory::Directory;
use super::table::Version;
use std::collections::BTreeSet;
use std::io;

/// The file of version 2 that says which controllers groups below have.
const BELOW: &str = "cgroup.subtree_control";

/// Enables controllers for the groups below one of version 2, and tells which of those that it has could not
/// be. What it has not is found missing by who wants it.
pub(crate) fn enable(directory: &Directory, wanted: &BTreeSet<&str>) -> Vec<Refused> {
    let words = |file: &str| -> BTreeSet<String> {
        let text = directory.read(file).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let (has, below) = (words("cgroup.controllers"), words(BELOW));
    let missing = has.difference(&below).filter(|name| wanted.contains(&***name));
    missing
        .filter_map(|name| {
            let error = directory.write(BELOW, &format!("+{name}")).err()?;
            let (controllers, path) = (vec![name.clone()], directory.path.join(BELOW));
            Some(Refused { version: Version::Two, controllers, path, error })
        })
        .collect()
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
