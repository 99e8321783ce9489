//! What was asked of a container, in the words of the runtime config.

use std::io;
use std::path::Path;

use corten_bundle::Powers;
use corten_bundle::config::{Cpus, Host, Identities, Overrides, SeccompChoice, Space};

use corten_bundle::users::{RootDirectory, find_user};
use oci_spec::runtime::User;

use super::etc::default_hostname;
use super::options::{Network, RunOptions, SeccompWord};
use super::recipe::told;

/// Most bytes of a seccomp profile.
const MAX_PROFILE: u64 = 4 << 20;

/// The overrides of a container, its mounts apart.
pub(crate) fn overrides(options: &RunOptions, id: &str) -> io::Result<Overrides> {
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
        memory: options.memory,
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
            file.take(MAX_PROFILE).read_to_end(&mut bytes).map_err(named)?;
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
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut host = Host::new(architecture, identities);
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
