//! Kernel settings of a container: only such as belong to a namespace that it has to itself.

use crate::error::{Error, Result};
use crate::namespaces;
use crate::procfs::Procfs;
use oci_spec::runtime::{Linux, LinuxNamespaceType};

/// Writes the settings of the configuration.
pub(crate) fn apply(linux: &Linux, domainname: Option<&str>) -> Result<()> {
    let Some(settings) = linux.sysctl().as_ref().filter(|settings| !settings.is_empty()) else {
        return Ok(());
    };
    let procfs = Procfs::of_machine()?;
    for (name, value) in settings {
        let path = path(name);
        // Two words for one thing, of which one would win silently.
        let other = match path.as_str() {
            "kernel/hostname" => Some("hostname"),
            "kernel/domainname" if domainname.is_some_and(|other| other != value) => {
                Some("domainname")
            }
            _ => None,
        };
        if let Some(other) = other {
            let what = format!("sysctl {name}: the configuration's {other} sets it");
            return Err(Error::Unsupported { what });
        }
        match owner(&path) {
            Some(kind) if namespaces::has(linux, kind) => {}
            _ => {
                let what = format!("sysctl {name}, which no namespace of the container holds");
                return Err(Error::Unsupported { what });
            }
        }
        procfs.write(&format!("sys/{path}"), value.as_bytes())?;
    }
    Ok(())
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` name the same; with slashes, dots belong to the names.
fn path(name: &str) -> String {
    let first = name.find(['.', '/']);
    match first.and_then(|place| name.get(place..=place)) {
        Some(".") => name
            .chars()
            .map(|sign| match sign {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// The kind of namespace that a setting belongs to.
fn owner(path: &str) -> Option<LinuxNamespaceType> {
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    match path {
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced" => Some(LinuxNamespaceType::Ipc),
        "kernel/domainname" | "kernel/hostname" => Some(LinuxNamespaceType::Uts),
        other if other.starts_with("fs/mqueue/") => Some(LinuxNamespaceType::Ipc),
        other if other.starts_with("net/") => Some(LinuxNamespaceType::Network),
        other if other.starts_with("user/") => Some(LinuxNamespaceType::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_machine_have_no_owner() {
        assert_eq!(owner(&path("net.ipv4.ip_forward")), Some(LinuxNamespaceType::Network));
        assert_eq!(owner(&path("kernel.shmmax")), Some(LinuxNamespaceType::Ipc));
        assert_eq!(owner(&path("kernel.core_pattern")), None);
        assert_eq!(owner(&path("net/../kernel/core_pattern")), None);
        assert_eq!(path("net.ipv4.conf.eth0/100.forwarding"), "net/ipv4/conf/eth0.100/forwarding");
    }
}
