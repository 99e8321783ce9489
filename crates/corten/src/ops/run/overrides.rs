//! What was asked of a container, in the words of the runtime config.

use std::io;
use std::path::Path;

use corten_bundle::Powers;
use corten_bundle::config::{Cpus, Host, MAX_PROFILE, Overrides, SeccompChoice, Space};
use corten_bundle::users::{RootDirectory, find_user, within};
use corten_engine::Groups;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, User};
use rustix::thread::CapabilitySet;

use super::etc::default_hostname;
use super::options::{AppArmorWord, Network, RunOptions, SeccompWord, Shared};
use super::recipe::told;
use super::{grants, groups};

/// The overrides of a container, its mounts apart.
pub(crate) fn overrides(options: &RunOptions, id: &str, powers: Powers) -> io::Result<Overrides> {
    let network = match options.network {
        Network::None | Network::Private { .. } => Space::New,
        Network::Host => Space::Host,
    };
    Ok(Overrides {
        entrypoint: options.entrypoint.clone(),
        args: options.arguments.clone(),
        env: options.env.clone(),
        unset: options.unset.clone(),
        workdir: options.workdir.clone(),
        user: options.user.clone(),
        groups_add: options.groups.clone(),
        hostname: Some(options.hostname.clone().unwrap_or_else(|| default_hostname(id))),
        terminal: options.terminal,
        read_only: options.read_only,
        cap_add: options.cap_add.clone(),
        cap_drop: options.cap_drop.clone(),
        no_new_privileges: options.no_new_privileges,
        apparmor: apparmor(&options.apparmor, options.privileged, powers),
        seccomp: seccomp(&options.seccomp)?,
        privileged: options.privileged,
        devices: grants::devices(&options.devices, options.privileged, powers)?,
        ulimits: options.ulimits.clone(),
        oom_score_adj: options.oom_score_adj,
        cgroup_parent: options.cgroup_parent.clone(),
        init: options.init,
        pid: space(options.pid),
        ipc: space(options.ipc),
        memory: options.memory,
        swap: options.swap,
        cpus: options.cpus.map(Cpus),
        pids: options.pids,
        shm_size: options.shm_size,
        network,
        sysctl: options.sysctl.clone(),
        annotations: options.annotations.clone(),
        id: Some(id.to_owned()),
        ..Overrides::default()
    })
}

fn space(shared: Shared) -> Space {
    match shared {
        Shared::Private => Space::New,
        Shared::Host => Space::Host,
    }
}

/// The text of that profile.
pub const APPARMOR_PROFILE: &str = include_str!("corten-default.apparmor");
/// The profile that containers have where it is loaded.
const PROFILE: &str = "corten-default";
/// Which profiles are loaded: a name and a mode on each line; root may read it.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

fn apparmor(word: &AppArmorWord, privileged: bool, powers: Powers) -> Option<String> {
    match word {
        AppArmorWord::Profile(name) => Some(name.clone()),
        AppArmorWord::Default if !privileged && powers == Powers::Machine => {
            let loaded = std::fs::read_to_string(PROFILES).unwrap_or_default();
            let is_loaded = loaded.lines().any(|line| line.split(' ').next() == Some(PROFILE));
            is_loaded.then(|| PROFILE.to_owned())
        }
        AppArmorWord::Default | AppArmorWord::Unconfined => None,
    }
}

fn seccomp(word: &SeccompWord) -> io::Result<SeccompChoice> {
    use std::io::Read as _;
    Ok(match word {
        SeccompWord::Default => SeccompChoice::Default,
        SeccompWord::Unconfined => SeccompChoice::Unconfined,
        SeccompWord::File(path) => {
            let mut bytes = Vec::new();
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            let file = std::fs::File::open(path).map_err(named)?;
            file.take(MAX_PROFILE as u64 + 1).read_to_end(&mut bytes).map_err(named)?;
            SeccompChoice::File(bytes)
        }
    })
}

/// The machine as it is for a container that starts now, with these control groups.
pub(super) fn host_now(powers: Powers, groups: &Groups) -> Host {
    let is_limited = powers == Powers::Machine || matches!(groups, Groups::Systemd(_));
    let pids_limit = is_limited && corten_engine::counts_processes(groups);
    Host { pids_limit, slice: groups::slice(groups), ..host(powers) }
}

/// The machine, as the runtime config must know it.
pub(crate) fn host(powers: Powers) -> Host {
    Host::here(crate::context::platform().architecture, powers)
}

/// The user `text` in the root filesystem of the process `pid`, in numbers of its container.
pub(crate) fn user_in(pid: u32, text: &str) -> io::Result<User> {
    let root = RootDirectory::open(Path::new(&format!("/proc/{pid}/root")))?;
    let found = find_user(text, &root).map_err(told)?;
    let mut user = User::default();
    user.set_uid(found.uid).set_gid(found.gid).set_additional_gids(Some(found.all_groups()));
    within(&mut user, crate::environment::powers());
    Ok(user)
}

/// What can be given of all capabilities: those of this process, which may lack some.
pub(super) fn to_give(sets: &LinuxCapabilities) -> io::Result<LinuxCapabilities> {
    let own = rustix::thread::capabilities(None)?.permitted;
    let has = |name: &String| CapabilitySet::from_name(name).is_some_and(|one| own.contains(one));
    let kept = |set: &Option<Capabilities>| -> Option<Capabilities> {
        let set = set.iter().flatten();
        Some(set.copied().filter(|one| has(&one.to_string())).collect())
    };
    let mut given = LinuxCapabilities::default();
    given.set_bounding(kept(sets.bounding())).set_effective(kept(sets.effective()));
    given.set_permitted(kept(sets.permitted())).set_inheritable(kept(sets.inheritable()));
    given.set_ambient(kept(sets.ambient()));
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_asked_for_in_the_engines_own_words() {
        assert_eq!(corten_bundle::config::INIT, corten_engine::INIT);
    }

    #[test]
    fn no_capability_is_given_that_is_not_there() {
        use oci_spec::runtime::Capability;
        let names = [Capability::Kill, Capability::SysResource, Capability::SysModule];
        let asked: Capabilities = names.into_iter().collect();
        let mut all = LinuxCapabilities::default();
        all.set_bounding(Some(asked.clone())).set_ambient(None);
        let given = to_give(&all).unwrap();
        let own = rustix::thread::capabilities(None).unwrap().permitted;
        for one in asked {
            let there = own.contains(CapabilitySet::from_name(&one.to_string()).unwrap());
            assert_eq!(given.bounding().as_ref().unwrap().contains(&one), there, "{one}");
        }
        assert!(given.ambient().as_ref().is_none_or(|ambient| ambient.is_empty()));
    }
}
