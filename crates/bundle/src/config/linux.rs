//! The part of a runtime config that only Linux has: namespaces, limits, devices, what is masked.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNamespace,
    LinuxNamespaceType, LinuxPids, LinuxResources, LinuxSeccomp,
};
use serde_json::json;

use super::capabilities::Granted;
use super::error::{Result, RuntimeConfigError};
use super::explain::{Said, Trace};
use super::overrides::{Host, Identities, Overrides, SeccompChoice, Space};
use super::profile;

/// Paths that tell of the machine or let programs hang it, and hide behind nothing in a container.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Paths that programs read and must not write.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The period over which processor time is shared out, in microseconds.
const PERIOD: u64 = 100_000;
/// The least processor time in a period, in microseconds, that the kernel takes.
const LEAST_QUOTA: i64 = 1000;
/// Most processes and threads of a container that was not given another limit: a fork bomb ends there.
const PROCESSES: i64 = 2048;
/// The least memory a container can start with, in bytes.
const LEAST_MEMORY: u64 = 6 << 20;
/// Character devices that every container has: major and minor number, and none for all.
const DEVICES: [(i64, Option<i64>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(1)), // console
    (5, Some(2)), // ptmx
    (136, None),  // pts
];

/// `linux`, every field of it set here.
pub(super) fn linux(
    overrides: &Overrides,
    host: &Host,
    granted: &Granted,
    trace: &mut Trace,
) -> Result<Linux> {
    let mut linux = Linux::default();
    let (masked, read_only) = masks(overrides, host, trace);
    let made = host.identities == Identities::Machine && !overrides.devices.is_empty();
    let devices = overrides.devices.iter().map(|grant| grant.node.clone()).collect();
    linux
        .set_namespaces(Some(namespaces(overrides, host, trace)?))
        .set_resources(resources(overrides, host, trace)?)
        .set_devices(made.then_some(devices))
        .set_masked_paths(masked)
        .set_readonly_paths(read_only)
        .set_seccomp(seccomp(overrides, host, granted, trace)?)
        .set_sysctl(sysctl(overrides, trace)?)
        .set_cgroups_path(cgroups_path(overrides, host, trace)?)
        .set_rootfs_propagation(None);
    Ok(linux)
}

fn namespaces(
    overrides: &Overrides,
    host: &Host,
    trace: &mut Trace,
) -> Result<Vec<LinuxNamespace>> {
    if overrides.hostname.is_some() && overrides.uts == Space::Host {
        let what = "a host name and the uts namespace of the host".to_owned();
        return Err(RuntimeConfigError::Contradiction { what });
    }
    let new = Space::New;
    let cgroup = (LinuxNamespaceType::Cgroup, &new);
    let all = [
        (LinuxNamespaceType::Mount, &new),
        (LinuxNamespaceType::Pid, &overrides.pid),
        (LinuxNamespaceType::Ipc, &overrides.ipc),
        (LinuxNamespaceType::Uts, &overrides.uts),
        (LinuxNamespaceType::Network, &overrides.network),
    ];
    let mut namespaces = Vec::new();
    for (kind, space) in all.into_iter().chain(host.cgroup_namespace.then_some(cgroup)) {
        let path = match space {
            Space::New => None,
            Space::Path(path) => Some(path.clone()),
            Space::Host => continue,
        };
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind).set_path(path);
        namespaces.push(namespace);
    }
    let value = serde_json::to_value(&namespaces).map_err(RuntimeConfigError::NotText)?;
    let own = all.iter().all(|(_, space)| **space == Space::New);
    let source = if own { Said::Default } else { Said::Flag };
    trace.tell_beside(
        "linux.namespaces",
        value,
        source,
        Some("Podman adds a user namespace when it is not root; rkt shares them within a pod"),
    );
    Ok(namespaces)
}

type Paths = Option<Vec<String>>;

fn masks(overrides: &Overrides, host: &Host, trace: &mut Trace) -> (Paths, Paths) {
    if overrides.unmasked || overrides.privileged {
        trace.tell("linux.maskedPaths", json!([]), Said::Flag);
        trace.tell("linux.readonlyPaths", json!([]), Said::Flag);
        return (None, None);
    }
    let mut masked: Vec<String> = MASKED.iter().map(|path| (*path).to_owned()).collect();
    masked.extend(host.masked.iter().cloned());
    let mut read_only: Vec<String> = READ_ONLY.iter().map(|path| (*path).to_owned()).collect();
    let further = host
        .kernel_files
        .iter()
        .filter(|path| !masked.contains(path) && !READ_ONLY.contains(&path.as_str()));
    // A mode that a container gives one of them is the machine's, in every proc.
    read_only.extend(further.cloned());
    let elsewhere = Some("containerd and umoci mask fewer, crun and runc what they are told");
    trace.tell_beside("linux.maskedPaths", masked.clone(), Said::Default, elsewhere);
    trace.tell("linux.readonlyPaths", read_only.clone(), Said::Default);
    (Some(masked), Some(read_only))
}

fn resources(
    overrides: &Overrides,
    host: &Host,
    trace: &mut Trace,
) -> Result<Option<LinuxResources>> {
    let mut resources = LinuxResources::default();
    resources
        .set_devices((host.identities == Identities::Machine).then(|| device_rules(overrides)))
        .set_memory(memory(overrides, host, trace)?)
        .set_cpu(cpu(overrides, trace)?)
        .set_pids(pids(overrides, host, trace)?);
    if let Some(rules) = resources.devices() {
        let value = serde_json::to_value(rules).map_err(RuntimeConfigError::NotText)?;
        let own = overrides.privileged || !overrides.devices.is_empty();
        let source = if own { Said::Flag } else { Said::Default };
        trace.tell("linux.resources.devices", value, source);
    }
    Ok(Some(resources).filter(|resources| *resources != LinuxResources::default()))
}

/// None but the usual ones, whose nodes may be made by anyone who can: what cannot be opened harms nobody.
fn device_rules(overrides: &Overrides) -> Vec<LinuxDeviceCgroup> {
    if overrides.privileged {
        return vec![rule(true, None, (None, None), "rwm")];
    }
    let character = Some(LinuxDeviceType::C);
    let mut rules = vec![
        rule(false, None, (None, None), "rwm"),
        rule(true, character, (None, None), "m"),
        rule(true, Some(LinuxDeviceType::B), (None, None), "m"),
    ];
    rules.extend(DEVICES.map(|(major, minor)| rule(true, character, (Some(major), minor), "rwm")));
    for grant in &overrides.devices {
        let numbers = (Some(grant.node.major()), Some(grant.node.minor()));
        rules.push(rule(true, Some(grant.node.typ()), numbers, &grant.access));
    }
    rules
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    (major, minor): (Option<i64>, Option<i64>),
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

fn limit(field: &'static str, value: impl ToString, reason: &'static str) -> RuntimeConfigError {
    RuntimeConfigError::Limit { field, value: value.to_string(), reason }
}

fn memory(overrides: &Overrides, host: &Host, trace: &mut Trace) -> Result<Option<LinuxMemory>> {
    const LIMIT: &str = "linux.resources.memory.limit";
    const SWAP: &str = "linux.resources.memory.swap";
    let Some(bytes) = overrides.memory else {
        return match overrides.swap {
            Some(swap) => Err(limit(SWAP, swap, "it counts memory too, which has no limit")),
            None => Ok(None),
        };
    };
    let memory = i64::try_from(bytes).map_err(|_| limit(LIMIT, bytes, "it is too large"))?;
    if bytes < LEAST_MEMORY {
        return Err(limit(LIMIT, bytes, "a container needs 6 MiB to start"));
    }
    trace.tell(LIMIT, memory, Said::Flag);
    let mut limits = LinuxMemory::default();
    limits.set_limit(Some(memory));
    match overrides.swap {
        Some(swap) if swap < memory && swap != -1 => {
            return Err(limit(SWAP, swap, "it counts memory too, and is less than that"));
        }
        Some(swap) => {
            trace.tell(SWAP, swap, Said::Flag);
            limits.set_swap(Some(swap));
        }
        None if host.swap_limit => {
            let swap = memory.saturating_mul(2);
            trace.tell(SWAP, swap, Said::Default);
            limits.set_swap(Some(swap));
        }
        None => {}
    }
    Ok(Some(limits))
}

fn cpu(overrides: &Overrides, trace: &mut Trace) -> Result<Option<LinuxCpu>> {
    let Some(cpus) = overrides.cpus else { return Ok(None) };
    let quota = i64::from(cpus.0).saturating_mul(100);
    if quota < LEAST_QUOTA {
        let value = format!("{} µs", quota);
        return Err(limit("linux.resources.cpu.quota", value, "the least is 0.01 processors"));
    }
    trace.tell("linux.resources.cpu.quota", quota, Said::Flag);
    trace.tell("linux.resources.cpu.period", PERIOD, Said::Default);
    let mut cpu = LinuxCpu::default();
    cpu.set_quota(Some(quota)).set_period(Some(PERIOD));
    Ok(Some(cpu))
}

fn pids(overrides: &Overrides, host: &Host, trace: &mut Trace) -> Result<Option<LinuxPids>> {
    const FIELD: &str = "linux.resources.pids.limit";
    let by_default = host.pids_limit && !overrides.privileged;
    let (most, source) = match overrides.pids {
        Some(most) => (most, Said::Flag),
        None if by_default => (PROCESSES, Said::Default),
        None => return Ok(None),
    };
    if most < 1 && most != -1 {
        return Err(limit(FIELD, most, "it is at least 1, or -1 for no limit"));
    }
    trace.tell_beside(FIELD, most, source, Some("Podman limits to 2048 by default"));
    let mut pids = LinuxPids::default();
    pids.set_limit(most);
    Ok(Some(pids))
}

fn seccomp(
    overrides: &Overrides,
    host: &Host,
    granted: &Granted,
    trace: &mut Trace,
) -> Result<Option<LinuxSeccomp>> {
    let (profile, word, source) = match &overrides.seccomp {
        SeccompChoice::Default if overrides.privileged => (None, "unconfined", Said::Flag),
        SeccompChoice::Default => {
            let profile = profile::default_profile(&granted.bounding, &host.architecture);
            (Some(profile), "corten's default profile", Said::Default)
        }
        SeccompChoice::Unconfined => (None, "unconfined", Said::Flag),
        SeccompChoice::Profile(profile) => (Some(profile.clone()), "a profile", Said::Flag),
        SeccompChoice::File(bytes) => {
            let profile = profile::read_profile(bytes, &granted.bounding, &host.architecture)?;
            (Some(profile), "a profile", Said::Flag)
        }
    };
    let elsewhere =
        "Docker's answers EPERM where this one and Podman's say ENOSYS; umoci sets none";
    let elsewhere = Some(elsewhere).filter(|_| source == Said::Default);
    trace.tell_beside("linux.seccomp", word, source, elsewhere);
    Ok(profile)
}

fn sysctl(overrides: &Overrides, trace: &mut Trace) -> Result<Option<HashMap<String, String>>> {
    let mut all = HashMap::new();
    for (name, value) in &overrides.sysctl {
        let odd = name.is_empty() || name.contains(['\0', '=']) || value.contains('\0');
        // Each belongs to a namespace, and must be the container's own or it is the machine's.
        let space = match name.split(['.', '/']).collect::<Vec<_>>().as_slice() {
            ["net", ..] => Some(&overrides.network),
            ["kernel", "domainname" | "hostname"] => Some(&overrides.uts),
            ["kernel", "shm_rmid_forced"] | ["fs", "mqueue", ..] => Some(&overrides.ipc),
            ["kernel", other] if other.starts_with("msg") || other.starts_with("shm") => {
                Some(&overrides.ipc)
            }
            ["kernel", "sem"] => Some(&overrides.ipc),
            _ => None,
        };
        if odd || !space.is_some_and(|space| *space != Space::Host) {
            let reason = "it belongs to no namespace of the container's own";
            return Err(limit("linux.sysctl", name.chars().take(120).collect::<String>(), reason));
        }
        trace.tell(&format!("linux.sysctl[{name}]"), value.as_str(), Said::Flag);
        all.insert(name.clone(), value.clone());
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

fn cgroups_path(overrides: &Overrides, host: &Host, trace: &mut Trace) -> Result<Option<PathBuf>> {
    const FIELD: &str = "linux.cgroupsPath";
    let parent = overrides.cgroup_parent.clone();
    let (id, source) =
        (overrides.id.as_deref(), if parent.is_some() { Said::Flag } else { Said::Host });
    let odd = id.is_some_and(|id| id.is_empty() || id.contains('/'));
    let path = match (&host.slice, parent) {
        (Some(slice), parent) => {
            let slice = parent.unwrap_or_else(|| PathBuf::from(slice));
            PathBuf::from(format!("{}:corten:{}", slice.display(), id.unwrap_or("container")))
        }
        (None, Some(mut path)) => {
            path.extend(id);
            path
        }
        (None, None) => return Ok(None),
    };
    if odd || path.components().any(|part| part == Component::ParentDir) {
        return Err(limit(FIELD, path.display(), "it leads elsewhere than below its parent"));
    }
    trace.tell(FIELD, path.display().to_string(), source);
    Ok(Some(path))
}
