//! What systemd manages of a scope, from the files of its group: limits that only the files have would be gone with
//! the next reload (systemd.resource-control(5)).

use super::Scope;
use crate::numbers::bits;
use zbus::wire::{OwnedVariant, Variant};

/// One property of a unit.
pub(crate) type Property = (String, OwnedVariant);

/// Microseconds of a period of `cpu.max` where none is written.
const PERIOD: u64 = 100_000;

/// The properties of a new scope.
pub(super) fn of_scope(scope: &Scope, pid: i32, more: Vec<Property>) -> Vec<Property> {
    let mut all = Vec::new();
    for (name, value) in [
        ("Description", Variant::from(scope.description.as_str())),
        ("Slice", Variant::from(scope.slice.as_str())),
        ("PIDs", Variant::from(vec![pid.unsigned_abs()])),
        ("Delegate", Variant::from(true)),
        ("MemoryAccounting", Variant::from(true)),
        ("CPUAccounting", Variant::from(true)),
        ("IOAccounting", Variant::from(true)),
        ("TasksAccounting", Variant::from(true)),
        // A scope that failed, as one of which the kernel killed something, is forgotten, too.
        ("CollectMode", Variant::from("inactive-or-failed")),
    ] {
        put(&mut all, name, Some(value));
    }
    all.extend(more);
    all
}

/// What systemd calls the files of a group that it manages. Files that it does not are left out: below a delegated
/// scope, and in it, they are the engine's.
pub(crate) fn properties<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Property> {
    let mut all = Vec::new();
    for (file, value) in files {
        let number = number(value).map(Variant::from);
        match file {
            "memory.max" => put(&mut all, "MemoryMax", number),
            "memory.high" => put(&mut all, "MemoryHigh", number),
            "memory.low" => put(&mut all, "MemoryLow", number),
            "memory.min" => put(&mut all, "MemoryMin", number),
            "memory.swap.max" => put(&mut all, "MemorySwapMax", number),
            "pids.max" => put(&mut all, "TasksMax", number),
            "cpu.weight" => put(&mut all, "CPUWeight", number),
            "io.weight" => {
                let weight = value.strip_prefix("default ").unwrap_or(value);
                put(&mut all, "IOWeight", self::number(weight).map(Variant::from));
            }
            "cpuset.cpus" => put(&mut all, "AllowedCPUs", bits(value).map(Variant::from)),
            "cpuset.mems" => put(&mut all, "AllowedMemoryNodes", bits(value).map(Variant::from)),
            "cpu.max" => {
                let (quota, period) = value.split_once(' ').unwrap_or((value, ""));
                let period = self::number(period).unwrap_or(PERIOD).max(1);
                let quota = self::number(quota).map(|quota| match quota {
                    u64::MAX => quota,
                    limited => limited.saturating_mul(1_000_000) / period,
                });
                put(&mut all, "CPUQuotaPerSecUSec", quota.map(Variant::from));
                put(&mut all, "CPUQuotaPeriodUSec", Some(Variant::from(period)));
            }
            _ => {}
        }
    }
    all
}

fn put(all: &mut Vec<Property>, name: &str, value: Option<Variant<'_>>) {
    // None of these holds a descriptor, which alone could not be copied.
    if let Some(value) = value.and_then(|value| OwnedVariant::try_from(value).ok()) {
        all.push((name.to_owned(), value));
    }
}

fn number(text: &str) -> Option<u64> {
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str, value: &str) -> Vec<(String, String)> {
        let all = properties([(file, value)]);
        all.into_iter().map(|(name, value)| (name, format!("{:?}", *value))).collect()
    }

    #[test]
    fn files_of_groups_are_told_as_properties() {
        let is = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(told("memory.max", "1048576"), [is("MemoryMax", "U64(1048576)")]);
        assert_eq!(
            told("memory.swap.max", "max"),
            [is("MemorySwapMax", &format!("U64({})", u64::MAX))]
        );
        assert_eq!(
            told("cpu.max", "50000 100000"),
            [is("CPUQuotaPerSecUSec", "U64(500000)"), is("CPUQuotaPeriodUSec", "U64(100000)")]
        );
        assert_eq!(told("io.weight", "default 50"), [is("IOWeight", "U64(50)")]);
        assert_eq!(told("io.max", "8:0 rbps=1"), []);
        assert_eq!(told("memory.max", "much"), []);
    }
}
