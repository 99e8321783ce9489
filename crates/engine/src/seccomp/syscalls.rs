//! Which system calls there are: names to numbers for each architecture, and how they differ.

use oci_spec::runtime::Arch;

use super::{table_aarch64, table_arm, table_x32, table_x86, table_x86_64};

/// A machine that filters are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Machine {
    /// x86-64, with 32-bit x86 and x32 beside it.
    X86_64,
    /// 64-bit Arm, with 32-bit Arm beside it.
    Aarch64,
}

impl Machine {
    /// The machine of this program.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// The calling convention of its own programs.
    pub(super) const fn own(self) -> Convention {
        match self {
            Self::X86_64 => Convention::X86_64,
            Self::Aarch64 => Convention::Aarch64,
        }
    }

    /// What `architecture` of a profile is on this machine; `None` if it cannot run here, so that
    /// nothing need be said of it.
    pub(super) fn convention(self, architecture: Arch) -> Option<Convention> {
        match (self, architecture) {
            (_, Arch::ScmpArchNative) => Some(self.own()),
            (Self::X86_64, Arch::ScmpArchX86_64) => Some(Convention::X86_64),
            (Self::X86_64, Arch::ScmpArchX86) => Some(Convention::X86),
            (Self::X86_64, Arch::ScmpArchX32) => Some(Convention::X32),
            (Self::Aarch64, Arch::ScmpArchAarch64) => Some(Convention::Aarch64),
            (Self::Aarch64, Arch::ScmpArchArm) => Some(Convention::Arm),
            _ => None,
        }
    }
}

/// One way to number system calls and pass their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Convention {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// What marks a number as one of x32.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Convention {
    /// `AUDIT_ARCH_*`, as the kernel tells a filter. x32 has the one of x86-64.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The number of the system call `name`, if this convention has it.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        let at = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        let (_, number) = table.get(at)?;
        Some(match self {
            Self::X32 => number | X32_BIT,
            _ => *number,
        })
    }

    /// Whether argument `index` of `name` is an `int` to the kernel, so that its upper half is not seen
    /// by the call and must not be seen by the filter: else a caller slips past a rule with a bit set
    /// up there. True for all arguments where registers have 32 bits.
    pub(super) fn is_narrow(self, name: &str, index: usize) -> bool {
        match self {
            Self::X86 | Self::X32 | Self::Arm => true,
            Self::X86_64 | Self::Aarch64 => NARROW.contains(&(name, index)),
        }
    }

    /// The call that `name` also hides in: (its name, the value of its first argument).
    pub(super) fn multiplexed(self, name: &str) -> Option<(&'static str, u64)> {
        if self != Self::X86 {
            return None;
        }
        MULTIPLEXED
            .iter()
            .find(|(inner, _, _)| *inner == name)
            .map(|(_, outer, call)| (*outer, *call))
    }

    fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => table_x86_64::X86_64,
            Self::X86 => table_x86::X86,
            Self::X32 => table_x32::X32,
            Self::Aarch64 => table_aarch64::AARCH64,
            Self::Arm => table_arm::ARM,
        }
    }
}

/// Arguments that the profiles of the field look at and the kernel reads as 32 bits.
const NARROW: &[(&str, usize)] = &[
    ("personality", 0),
    ("socket", 0),
    ("socket", 1),
    ("socket", 2),
    ("socketpair", 0),
    ("socketpair", 1),
    ("socketpair", 2),
];

/// Calls that 32-bit x86 also has as a branch of another (`linux/net.h`, `linux/ipc.h`).
const MULTIPLEXED: &[(&str, &str, u64)] = &[
    ("socket", "socketcall", 1),
    ("bind", "socketcall", 2),
    ("connect", "socketcall", 3),
    ("listen", "socketcall", 4),
    ("accept", "socketcall", 5),
    ("getsockname", "socketcall", 6),
    ("getpeername", "socketcall", 7),
    ("socketpair", "socketcall", 8),
    ("send", "socketcall", 9),
    ("recv", "socketcall", 10),
    ("sendto", "socketcall", 11),
    ("recvfrom", "socketcall", 12),
    ("shutdown", "socketcall", 13),
    ("setsockopt", "socketcall", 14),
    ("getsockopt", "socketcall", 15),
    ("sendmsg", "socketcall", 16),
    ("recvmsg", "socketcall", 17),
    ("accept4", "socketcall", 18),
    ("recvmmsg", "socketcall", 19),
    ("sendmmsg", "socketcall", 20),
    ("semop", "ipc", 1),
    ("semget", "ipc", 2),
    ("semctl", "ipc", 3),
    ("semtimedop", "ipc", 4),
    ("msgsnd", "ipc", 11),
    ("msgrcv", "ipc", 12),
    ("msgget", "ipc", 13),
    ("msgctl", "ipc", 14),
    ("shmat", "ipc", 21),
    ("shmdt", "ipc", 22),
    ("shmget", "ipc", 23),
    ("shmctl", "ipc", 24),
];
