//! The capabilities of the process.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use std::collections::BTreeMap;

use super::error::{Result, RuntimeConfigError};
use super::explain::{Said, Trace};
use super::overrides::Overrides;

/// All of them, in the kernel's order (`linux/capability.h`).
pub(super) const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Those of a container that nobody said anything of.
const DEFAULT: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Setfcap,
];

/// The capabilities of a container, in the kernel's order.
pub(super) struct Granted {
    /// What any process in it can have.
    pub(super) bounding: Vec<Capability>,
    /// What was asked for by name: what a process that is not root gets at all.
    asked: Vec<Capability>,
    source: Said,
}

/// What the caller and the defaults come to.
pub(super) fn granted(overrides: &Overrides) -> Result<Granted> {
    let (add_all, add) = parsed(&overrides.cap_add)?;
    let (drop_all, drop) = parsed(&overrides.cap_drop)?;
    let contradiction = |what: String| Err(RuntimeConfigError::Contradiction { what });
    if add_all && drop_all {
        return contradiction("all capabilities and none".to_owned());
    }
    if let Some(both) = add.iter().find(|one| drop.contains(one)) {
        return contradiction(format!("adding and dropping the capability {both}"));
    }
    let base = |one: &Capability| match (overrides.privileged || add_all, drop_all) {
        (_, true) => false,
        (true, _) => true,
        _ => DEFAULT.contains(one),
    };
    let held = |one: &Capability| (base(one) || add.contains(one)) && !drop.contains(one);
    let bounding = ALL.into_iter().filter(held).collect();
    let asked = ALL.into_iter().filter(|one| add.contains(one)).collect();
    let said =
        overrides.privileged || !overrides.cap_add.is_empty() || !overrides.cap_drop.is_empty();
    Ok(Granted { bounding, asked, source: if said { Said::Flag } else { Said::Default } })
}

/// Whether all are meant, and which are named.
fn parsed(names: &[String]) -> Result<(bool, Vec<Capability>)> {
    let mut all = false;
    let mut named = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            all = true;
            continue;
        }
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let found = ALL.into_iter().find(|one| one.to_string() == short);
        let error = || RuntimeConfigError::Capability { name: name.chars().take(80).collect() };
        named.push(found.ok_or_else(error)?);
    }
    Ok((all, named))
}

/// The sets of `process.capabilities`.
///
/// Root has them all, and nothing is inheritable, so that no program gains by its file capabilities
/// what root did not choose to give. A process that is not root would lose all of them when its program
/// is executed; what was asked for by name is ambient, so that it has that.
pub(super) fn sets(granted: &Granted, uid: u32, trace: &mut Trace) -> LinuxCapabilities {
    let (held, ambient) =
        if uid == 0 { (&granted.bounding, &Vec::new()) } else { (&granted.asked, &granted.asked) };
    let names = |set: &[Capability]| -> Vec<String> {
        set.iter().map(|one| format!("CAP_{one}")).collect()
    };
    let elsewhere = Some("Docker and containerd add AUDIT_WRITE, MKNOD and NET_RAW");
    let elsewhere = elsewhere.filter(|_| granted.source == Said::Default);
    let source = granted.source;
    trace.tell_beside("process.capabilities.bounding", names(&granted.bounding), source, elsewhere);
    trace.tell("process.capabilities.effective", names(held), source);
    let ambient_elsewhere = Some("Docker gives a process that is not root no capability at all");
    let ambient_elsewhere = ambient_elsewhere.filter(|_| !ambient.is_empty());
    trace.tell_beside("process.capabilities.ambient", names(ambient), source, ambient_elsewhere);
    let set = |set: &[Capability]| Some(set.iter().copied().collect::<Capabilities>());
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(set(&granted.bounding))
        .set_effective(set(held))
        .set_permitted(set(held))
        .set_inheritable(set(ambient))
        .set_ambient(set(ambient));
    sets
}

/// The place of a capability in the kernel's order, by its name in a runtime config.
pub(super) fn ranks() -> BTreeMap<String, usize> {
    ALL.iter().enumerate().map(|(rank, one)| (format!("CAP_{one}"), rank)).collect()
}
