//! System calls of the scheduler and its like.

use super::checked;
use std::io;

/// What `sched_setattr` sets: the kernel's `struct sched_attr` in its first form (sched_setattr(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct SchedulerAttributes {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

impl Default for SchedulerAttributes {
    fn default() -> Self {
        let size = u32::try_from(size_of::<Self>()).unwrap_or(0);
        Self { size, policy: 0, flags: 0, nice: 0, priority: 0, runtime: 0, deadline: 0, period: 0 }
    }
}

/// Sets how this process is scheduled.
pub(crate) fn set_scheduler(attributes: &SchedulerAttributes) -> io::Result<()> {
    // SAFETY: the structure lives across the call and tells its own size; process 0 is this one.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) };
    checked(result).map(drop)
}

/// Sets the priority of reads and writes of this process, a class and a level in one number.
pub(crate) fn set_io_priority(priority: i32) -> io::Result<()> {
    /// `IOPRIO_WHO_PROCESS` of linux/ioprio.h.
    const PROCESS: i32 = 1;
    // SAFETY: numbers.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, priority) }).map(drop)
}

/// Sets from which nodes this process gets memory: bits, the lowest first.
pub(crate) fn set_memory_policy(mode: i32, nodes: &[u8]) -> io::Result<()> {
    let words = words(nodes);
    let (mask, most) = match words.len() {
        0 => (std::ptr::null(), 0),
        // The kernel reads one bit less than it is told.
        count => (words.as_ptr(), count * u64::BITS as usize + 1),
    };
    // SAFETY: the mask has as many bits as are read of it, and lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, most) };
    checked(result).map(drop)
}

/// Has this process run on some processors alone: bits, the lowest first.
pub(crate) fn set_affinity(processors: &[u8]) -> io::Result<()> {
    let words = words(processors);
    let length = words.len() * size_of::<u64>();
    // SAFETY: the mask is as long as is told, and lives across the call; process 0 is this one.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, length, words.as_ptr()) };
    checked(result).map(drop)
}

/// Bits as the words in which the kernel reads them.
fn words(bits: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(bytes)
    };
    bits.chunks(8).map(word).collect()
}
