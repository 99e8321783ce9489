//! Who makes the control groups of a container: systemd where there is one, as it is the only one that may move
//! processes about on such a machine.

use std::path::Path;

use corten_bundle::Powers;
use corten_engine::{Groups, Systemd, Whose};

use super::options::{GroupsWord, RunOptions};
use crate::environment::Environment;
use crate::failure::Failure;

/// There while systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// Where the machine's bus is.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// The groups that a container gets on this machine.
pub(crate) fn groups(environment: &Environment, options: &RunOptions) -> Result<Groups, Failure> {
    let parent = options.cgroup_parent.as_deref();
    let in_slice = parent.is_some_and(is_slice);
    let is_limited = options.memory.is_some()
        || options.swap.is_some()
        || options.cpus.is_some()
        || options.pids.is_some()
        || parent.is_some();
    if options.cgroups == GroupsWord::Disabled && is_limited {
        let text = "--cgroups disabled: without control groups there are no limits and no parent of one; leave it, or them, away";
        return Err(Failure::Usage(text.to_owned()));
    }
    match (options.cgroups, parent) {
        (GroupsWord::Disabled, _) => return Ok(Groups::Off),
        (GroupsWord::Cgroupfs, _) if !in_slice => return Ok(Groups::Auto),
        // A path is of the file system.
        (_, Some(_)) if !in_slice => return Ok(Groups::Auto),
        _ => {}
    }
    match systemd(environment) {
        Some(systemd) if options.cgroups != GroupsWord::Cgroupfs => Ok(Groups::Systemd(systemd)),
        _ if in_slice => Err(Failure::Usage(
            "--cgroup-parent: a slice is one of systemd, which makes no control groups here; give a path".to_owned(),
        )),
        _ => Ok(Groups::Auto),
    }
}

/// The groups of a container that another runtime starts, which makes them itself.
pub(crate) fn of_another_runtime(options: &RunOptions) -> Result<Groups, Failure> {
    let in_slice = options.cgroup_parent.as_deref().is_some_and(is_slice);
    if options.cgroups == GroupsWord::Enabled && !in_slice {
        return Ok(Groups::Auto);
    }
    let text = "--cgroups and a slice for --cgroup-parent are of corten's own runtime: leave them or --runtime away";
    Err(Failure::Usage(text.to_owned()))
}

/// Whether a parent is a slice of systemd.
fn is_slice(parent: &Path) -> bool {
    parent.components().count() == 1
        && parent.extension().is_some_and(|extension| extension == "slice")
        && !parent.is_absolute()
}

/// The slice that containers are in by default.
pub(crate) fn slice(groups: &Groups) -> Option<String> {
    let Groups::Systemd(systemd) = groups else { return None };
    let slice = match systemd.whose {
        Whose::Machine => "machine.slice",
        Whose::User => "user.slice",
    };
    Some(slice.to_owned())
}

/// The systemd that makes groups for this user, where there is one: with control groups of version 2 alone.
pub(crate) fn systemd(environment: &Environment) -> Option<Systemd> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !Path::new(BOOTED).is_dir() || !is_unified(&mounts) {
        return None;
    }
    let (address, whose) = match environment.powers() {
        Powers::Machine => {
            let given = environment.variable("DBUS_SYSTEM_BUS_ADDRESS");
            (given.unwrap_or(SYSTEM_BUS).to_owned(), Whose::Machine)
        }
        Powers::Ranges | Powers::OneId => {
            // The one that is named may be of a kind that is not spoken here.
            let given = environment.variable("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned);
            let beside = environment
                .variable("XDG_RUNTIME_DIR")
                .map(|directory| format!("unix:path={directory}/bus"));
            let all: Vec<String> = given.into_iter().chain(beside).collect();
            (all.join(";"), Whose::User)
        }
    };
    let systemd = Systemd { address, whose };
    systemd.answers().then_some(systemd)
}

/// Whether a table of mounts (proc_pid_mountinfo(5)) has control groups of version 2 and no other.
fn is_unified(mounts: &str) -> bool {
    let kinds = || mounts.lines().filter_map(|line| line.split_once(" - ")?.1.split(' ').next());
    kinds().any(|kind| kind == "cgroup2") && !kinds().any(|kind| kind == "cgroup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_name_and_a_path_is_none() {
        for (parent, is) in [
            ("machine.slice", true),
            ("a-b.slice", true),
            ("/machine.slice", false),
            ("a/b.slice", false),
            ("machine", false),
        ] {
            assert_eq!(is_slice(Path::new(parent)), is, "{parent}");
        }
    }

    #[test]
    fn groups_of_both_versions_are_not_systemds_alone() {
        let two = "29 25 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let one = "30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        assert!(is_unified(two));
        assert!(!is_unified(&format!("{two}{one}")) && !is_unified(one) && !is_unified(""));
    }
}
