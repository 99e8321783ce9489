//! What the kernel counts for one process: resource limits and its worth when memory runs out.

use crate::error::{Doing, Result};
use crate::procfs::Procfs;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What may need rights of the machine: raises hard limits, and sets the worth when memory runs out.
pub(crate) fn before_namespaces(process: &Process) -> Result<()> {
    if let Some(worth) = process.oom_score_adj() {
        Procfs::of_machine()?.write("self/oom_score_adj", worth.to_string().as_bytes())?;
    }
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        let Some(resource) = resource(limit.typ()) else { continue };
        let now = getrlimit(resource);
        // `None` is no limit at all.
        let wanted = bounded(limit.hard());
        if now.maximum.is_some_and(|now| wanted.is_none_or(|wanted| wanted > now)) {
            let raised = Rlimit { current: now.current, maximum: wanted };
            setrlimit(resource, raised).doing(|| raising(limit))?;
        }
    }
    Ok(())
}

fn raising(limit: &PosixRlimit) -> String {
    format!("raise {} to {}", limit.typ(), limit.hard())
}

fn bounded(number: u64) -> Option<u64> {
    (number != libc::RLIM_INFINITY).then_some(number)
}

/// Sets the limits as they are to be, last of all.
pub(crate) fn apply(process: &Process) -> Result<()> {
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        let Some(resource) = resource(limit.typ()) else { continue };
        let wanted = Rlimit { current: bounded(limit.soft()), maximum: bounded(limit.hard()) };
        setrlimit(resource, wanted)
            .doing(|| format!("set {} to {}:{}", limit.typ(), limit.soft(), limit.hard()))?;
    }
    Ok(())
}

/// `None` for what Linux has not had since 2.4.
fn resource(kind: PosixRlimitType) -> Option<Resource> {
    Some(match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
        #[allow(unreachable_patterns)]
        _ => return None,
    })
}
