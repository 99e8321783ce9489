//! The AppArmor profile of a process: taken on with the program, by the kernel's word for that.

use crate::error::{Doing, Error, Result};
use crate::procfs::Procfs;
use oci_spec::runtime::Process;

/// What tells whether the kernel enforces profiles.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// Where a profile is asked for: the module's own file, and the one that modules share.
const OWN: &str = "self/attr/apparmor/exec";
const SHARED: &str = "self/attr/exec";

/// The profile that a process wants; `None` for none.
pub(crate) fn wanted(process: &Process) -> Option<&str> {
    process.apparmor_profile().as_deref().filter(|name| !matches!(*name, "" | "unconfined"))
}

/// Refuses early what cannot be applied: on a machine without AppArmor a profile would deny nothing.
pub(crate) fn check(process: &Process) -> Result<()> {
    let Some(name) = wanted(process) else { return Ok(()) };
    if name.contains(['\0', '\n']) {
        return Err(Error::Unsupported {
            what: "process.apparmorProfile with an odd name".to_owned(),
        });
    }
    let enabled = std::fs::read_to_string(ENABLED).is_ok_and(|text| text.trim() == "Y");
    if enabled {
        return Ok(());
    }
    let what = format!("process.apparmorProfile {name} on a machine without AppArmor");
    Err(Error::Unsupported { what })
}

/// Has the kernel change to the profile with the next program that this process becomes. A profile that is not
/// loaded is an error.
pub(crate) fn apply(process: &Process) -> Result<()> {
    let Some(name) = wanted(process) else { return Ok(()) };
    let procfs = Procfs::of_machine()?;
    let word = format!("exec {name}");
    let written = match procfs.write(OWN, word.as_bytes()) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            procfs.write(SHARED, word.as_bytes())
        }
        other => other,
    };
    match written {
        Err(Error::Io { source, .. }) => {
            Err(source).doing(|| format!("take on the AppArmor profile {name}"))
        }
        other => other,
    }
}
