//! How the kernel schedules a process, its reads and writes, and where its memory comes from (runtime-spec, config,
//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`, `linux.memoryPolicy`).

use crate::error::{Doing, Error, Result};
use crate::numbers::bits;
use crate::sys::{self, SchedulerAttributes};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
};

/// Least and greatest nice value (sched(7)).
const NICE: std::ops::RangeInclusive<i32> = -20..=19;
/// Least and greatest priority of the policies that have one (sched(7)).
const PRIORITY: std::ops::RangeInclusive<i32> = 1..=99;
/// Least and greatest priority in a class of reads and writes (ioprio_set(2)).
const LEVEL: std::ops::RangeInclusive<i64> = 0..=7;
/// Where the class stands in the number of ioprio_set(2).
const CLASS_SHIFT: u32 = 13;

/// Takes on what the configuration says, with the rights of root.
pub(crate) fn apply(process: &Process, linux: &Linux) -> Result<()> {
    if let Some(scheduler) = process.scheduler() {
        let attributes = attributes(scheduler)?;
        sys::set_scheduler(&attributes)
            .doing(|| format!("set the scheduler {:?}", scheduler.policy()))?;
    }
    if let Some(wanted) = process.io_priority() {
        sys::set_io_priority(io_priority(wanted)?)
            .doing(|| "set the priority of reads and writes")?;
    }
    if let Some(policy) = linux.memory_policy() {
        let (mode, nodes) = memory_policy(policy)?;
        sys::set_memory_policy(mode, &nodes)
            .doing(|| format!("set the memory policy {}", policy.mode()))?;
    }
    Ok(())
}

/// Restricts this process to the processors of a list, of which one that is added to a container is to run while it is
/// joining (`initial`), and once it has joined (`final`).
pub(crate) fn set_processors(list: &str, field: &str) -> Result<()> {
    let set = bits(list).ok_or_else(|| wrong(&format!("process.execCPUAffinity.{field}"), list))?;
    sys::set_affinity(&set).doing(|| format!("run on the processors {list}"))
}

fn wrong(field: &str, value: impl ToString) -> Error {
    Error::Unsupported { what: format!("{field} {:?}", value.to_string()) }
}

fn attributes(wanted: &Scheduler) -> Result<SchedulerAttributes> {
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let nice = wanted.nice().unwrap_or(0);
    if !NICE.contains(&nice) {
        return Err(wrong("process.scheduler.nice", nice));
    }
    let has_priority = matches!(policy, 1 | 2);
    let priority = wanted.priority().unwrap_or(0);
    let fits = if has_priority { PRIORITY.contains(&priority) } else { priority == 0 };
    if !fits {
        return Err(wrong("process.scheduler.priority", priority));
    }
    let times =
        [wanted.runtime(), wanted.deadline(), wanted.period()].map(|time| time.unwrap_or(0));
    if policy != 6 && times.iter().any(|time| *time != 0) {
        return Err(wrong(
            "process.scheduler: a runtime, deadline or period with",
            wanted.policy(),
        ));
    }
    let [runtime, deadline, period] = times;
    let flags = wanted
        .flags()
        .as_deref()
        .unwrap_or_default()
        .iter()
        .fold(0, |all, flag| all | flag_of(*flag));
    let priority = priority.unsigned_abs();
    Ok(SchedulerAttributes {
        policy,
        flags,
        nice,
        priority,
        runtime,
        deadline,
        period,
        ..SchedulerAttributes::default()
    })
}

/// The bit of a flag (linux/sched.h).
fn flag_of(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

fn io_priority(wanted: &LinuxIOPriority) -> Result<i32> {
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = wanted.priority();
    match i32::try_from(level) {
        Ok(level) if LEVEL.contains(&i64::from(level)) => Ok((class << CLASS_SHIFT) | level),
        _ => Err(wrong("process.ioPriority.priority", level)),
    }
}

fn memory_policy(wanted: &LinuxMemoryPolicy) -> Result<(i32, Vec<u8>)> {
    let mode = match wanted.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = wanted.flags().as_deref().unwrap_or_default().iter().fold(0, |all, flag| {
        all | match flag {
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        }
    });
    let list = wanted.nodes().as_deref().unwrap_or_default();
    let nodes = if list.is_empty() { Some(Vec::new()) } else { bits(list) };
    Ok((mode | flags, nodes.ok_or_else(|| wrong("linux.memoryPolicy.nodes", list))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_kernel_would_take_for_something_else_is_refused() {
        for (value, good) in [
            (json!({"policy": "SCHED_FIFO", "priority": 10}), true),
            (json!({"policy": "SCHED_FIFO"}), false),
            (json!({"policy": "SCHED_FIFO", "priority": 100}), false),
            (json!({"policy": "SCHED_OTHER", "nice": -5}), true),
            (json!({"policy": "SCHED_OTHER", "nice": 20}), false),
            (json!({"policy": "SCHED_OTHER", "priority": 1}), false),
            (json!({"policy": "SCHED_BATCH", "runtime": 1}), false),
            (json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3}), true),
        ] {
            let wanted: Scheduler = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(attributes(&wanted).is_ok(), good, "{value}");
        }
        for (value, number) in [
            (json!({"class": "IOPRIO_CLASS_BE", "priority": 4}), Some(0x4004)),
            (json!({"class": "IOPRIO_CLASS_RT", "priority": 0}), Some(0x2000)),
            (json!({"class": "IOPRIO_CLASS_IDLE", "priority": 8}), None),
            (json!({"class": "IOPRIO_CLASS_BE", "priority": -1}), None),
        ] {
            let wanted: LinuxIOPriority = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(io_priority(&wanted).ok(), number, "{value}");
        }
        let policy: LinuxMemoryPolicy = serde_json::from_value(
            json!({"mode": "MPOL_BIND", "nodes": "0,2-3", "flags": ["MPOL_F_STATIC_NODES"]}),
        )
        .unwrap();
        assert_eq!(memory_policy(&policy).unwrap(), (2 | 1 << 15, vec![0b1101]));
    }
}
