//! The memory of a container, as settings of control groups.

use super::settings::{Absent, Gathered, max_or, not_in, wrong};
use super::table::Version;
use crate::error::{Error, Result};
use oci_spec::runtime::LinuxMemory;

const CONTROLLER: &str = "memory";

/// A number that is asked for: callers write 0 for what they do not limit.
fn asked(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number != 0)
}

pub(crate) fn gather(memory: &LinuxMemory, to: &mut Gathered<'_>) -> Result<()> {
    // Obsolete, and refused by name all the same: a limit that is not kept is none.
    #[allow(deprecated)]
    let kernel = asked(memory.kernel());
    let (limit, swap) = (asked(memory.limit()), asked(memory.swap()));
    let (reservation, kernel_tcp) = (asked(memory.reservation()), asked(memory.kernel_tcp()));
    let no_killer = memory.disable_oom_killer() == Some(true);
    let numbers = [limit, swap, reservation, kernel, kernel_tcp];
    let any = numbers.iter().any(Option::is_some) || memory.swappiness().is_some() || no_killer;
    if !any {
        return Ok(());
    }
    match to.version(CONTROLLER, CONTROLLER)? {
        Version::One => {
            let limit_bytes = limit.map(|limit| limit.max(-1));
            // Memory without a limit cannot stand under a limit of memory and swap.
            let swap = swap.or(limit.filter(|limit| *limit < 0)).map(|swap| swap.max(-1));
            let absent = if swap == Some(-1) { Absent::Fine } else { Absent::Refused };
            put(to, "memory.limit_in_bytes", limit_bytes);
            if let Some(swap) = swap {
                let file = ("memory.memsw.limit_in_bytes", swap.to_string());
                to.put_first(CONTROLLER, &[file], absent);
            }
            put(to, "memory.soft_limit_in_bytes", reservation.map(|number| number.max(-1)));
            put(to, "memory.kmem.limit_in_bytes", kernel);
            put(to, "memory.kmem.tcp.limit_in_bytes", kernel_tcp);
            put(to, "memory.swappiness", memory.swappiness());
            put(to, "memory.oom_control", no_killer.then_some(1));
            if memory.use_hierarchy() == Some(true) {
                put(to, "memory.use_hierarchy", Some(1));
            }
        }
        Version::Two => {
            let fields = [
                ("memory.kernel", kernel.is_some()),
                ("memory.kernelTCP", kernel_tcp.is_some()),
                ("memory.swappiness", memory.swappiness().is_some()),
                ("memory.disableOOMKiller", no_killer),
            ];
            if let Some((field, _)) = fields.iter().find(|(_, asked)| *asked) {
                return Err(not_in(field, Version::Two));
            }
            put(to, "memory.max", limit.map(max_or));
            if let Some(swap) = swap_alone(limit, swap)? {
                // A kernel without the file has no swap, so that "none" and "any" hold as they are.
                let absent =
                    if swap == "0" || swap == "max" { Absent::Fine } else { Absent::Refused };
                to.put_first(CONTROLLER, &[("memory.swap.max", swap)], absent);
            }
            put(to, "memory.low", reservation.map(max_or));
        }
    }
    Ok(())
}

fn put(to: &mut Gathered<'_>, file: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        to.put(CONTROLLER, file, value);
    }
}

/// The swap of version 2, which counts it apart, from the sum of memory and swap of the specification.
fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<String>> {
    match (limit, swap) {
        (Some(limit), None) if limit < 0 => Ok(Some("max".to_owned())),
        (_, None) => Ok(None),
        (_, Some(swap)) if swap < 0 => Ok(Some("max".to_owned())),
        (Some(limit), Some(swap)) if limit > 0 && swap >= limit => {
            Ok(Some((swap - limit).to_string()))
        }
        (Some(limit), Some(swap)) if limit > 0 => {
            Err(wrong("memory.swap", format!("{swap}, below the limit {limit}")))
        }
        (_, Some(_)) => Err(Error::Unsupported {
            what: "linux.resources.memory.swap without a limit".to_owned(),
        }),
    }
}
