//! The capabilities of a container's process, set to exactly what the configuration lists.

use crate::error::{Doing, Result};
use oci_spec::runtime::{Capabilities, LinuxCapabilities};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

/// The sets of a configuration; no configuration is none of them.
struct Sets {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

fn set(names: Option<&Capabilities>) -> CapabilitySet {
    let names = names.into_iter().flatten();
    names.filter_map(|name| CapabilitySet::from_name(&name.to_string())).collect()
}

fn sets(wanted: Option<&LinuxCapabilities>) -> Sets {
    let of = |pick: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
        set(wanted.and_then(|all| pick(all).as_ref()))
    };
    Sets {
        bounding: of(LinuxCapabilities::bounding),
        effective: of(LinuxCapabilities::effective),
        permitted: of(LinuxCapabilities::permitted),
        inheritable: of(LinuxCapabilities::inheritable),
        ambient: of(LinuxCapabilities::ambient),
    }
}

/// Takes out of the bounding set what is not wanted there. While this process still has all rights.
pub(crate) fn bound(wanted: Option<&LinuxCapabilities>) -> Result<()> {
    let keep = sets(wanted).bounding;
    // What the kernel has beyond the names known here goes too.
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(one) {
            continue;
        }
        match capability_is_in_bounding_set(one) {
            Ok(true) => remove_capability_from_bounding_set(one)
                .doing(|| format!("drop capability {number} from the bounding set"))?,
            Ok(false) => {}
            // The kernel knows no more.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Sets the other sets, after the change of the user.
pub(crate) fn apply(wanted: Option<&LinuxCapabilities>) -> Result<()> {
    let sets = sets(wanted);
    let three = CapabilitySets {
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
    };
    set_capabilities(None, three).doing(|| format!("set the capabilities {:?}", sets.permitted))?;
    clear_ambient_capability_set().doing(|| "clear the ambient capabilities")?;
    // The kernel grants ambient only what is permitted and inheritable.
    for one in (sets.ambient & sets.permitted & sets.inheritable).iter() {
        configure_capability_in_ambient_set(one, true)
            .doing(|| format!("make the capability {one:?} ambient"))?;
    }
    Ok(())
}
