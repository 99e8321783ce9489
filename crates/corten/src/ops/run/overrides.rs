//! What was asked of a container, in the words of the runtime config.

use std::io;
use std::path::Path;

use corten_bundle::Powers;
use corten_bundle::config::{Cpus, Host, Identities, MAX_PROFILE, Overrides, SeccompChoice, Space};
use corten_bundle::users::{RootDirectory, find_user};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, User};
use rustix::thread::CapabilitySet;

use super::etc::default_hostname;
use super::grants;
use super::options::{Network, RunOptions, SeccompWord, Shared};
use super::recipe::told;

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

/// The machine, as the runtime config must know it.
pub(crate) fn host(powers: Powers) -> Host {
    let identities = match powers {
        Powers::Machine => Identities::Machine,
        Powers::Ranges | Powers::OneId => Identities::Namespace,
    };
    let mut host = Host::new(crate::context::platform().architecture, identities);
    host.cgroup_namespace = Path::new("/proc/self/ns/cgroup").exists();
    host
}

/// The user `text` in the root filesystem of the process `pid`, in numbers of its container.
pub(crate) fn user_in(pid: u32, text: &str) -> io::Result<User> {
    let root = RootDirectory::open(Path::new(&format!("/proc/{pid}/root")))?;
    let found = find_user(text, &root).map_err(told)?;
    let mut user = User::default();
    user.set_uid(found.uid).set_gid(found.gid).set_additional_gids(Some(found.groups));
    within(&mut user, crate::context::powers())?;
    Ok(user)
}

/// Takes the groups from a user that nobody can have where there is one id alone, and refuses another user
/// than root.
pub(super) fn within(user: &mut User, powers: Powers) -> io::Result<()> {
    if powers != Powers::OneId {
        return Ok(());
    }
    user.set_additional_gids(None);
    if (user.uid(), user.gid()) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (user.uid(), user.gid());
    Err(io::Error::other(format!(
        "the container cannot have the user {uid}:{gid}: there is one id for it alone, that of its root \
         (more come from ranges in /etc/subuid and /etc/subgid, by newuidmap and newgidmap)"
    )))
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
    fn where_there_is_one_id_root_has_no_groups_and_nobody_else_is() {
        let user = |uid, gid| {
            let mut user = User::default();
            user.set_uid(uid).set_gid(gid).set_additional_gids(Some(vec![10]));
            user
        };
        let mut root = user(0, 0);
        within(&mut root, Powers::OneId).unwrap();
        assert_eq!(root.additional_gids(), &None);
        for (uid, gid) in [(1, 0), (0, 1)] {
            let refused = within(&mut user(uid, gid), Powers::OneId).unwrap_err().to_string();
            assert!(refused.contains(&format!("the user {uid}:{gid}")), "{refused}");
        }
        for powers in [Powers::Machine, Powers::Ranges] {
            let mut app = user(1000, 1000);
            within(&mut app, powers).unwrap();
            assert_eq!(app, user(1000, 1000));
        }
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
