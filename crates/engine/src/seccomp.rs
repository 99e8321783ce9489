//! System call filters: a profile of the runtime-spec (`linux.seccomp`) becomes a classic BPF program,
//! in Rust alone, and is loaded with `seccomp(2)`.
//!
//! The program of one machine looks so:
//!
//! ```text
//! load architecture ── native? ──> load number ──> binary search over ranges ──> action
//!        │                                                     └─> argument checks ──> action
//!        ├── compat architecture of the profile? ──> the same with its own numbers
//!        └── any other: kill the process
//! ```
//!
//! How rules meet is as the field's profiles expect it: a rule that says what the default says anyway
//! is dropped; of the rules without conditions the first one wins, also over all with conditions; of
//! those with conditions the first one that holds. Conditions of one rule must all hold, except when
//! an argument stands in it twice: then each condition counts as a rule of its own.
//!
//! x32 numbers have no architecture of their own, they are the numbers of x86-64 from 0x4000_0000 on.

mod assemble;
mod install;
mod profile;
mod program;
mod syscalls;
mod table_aarch64;
mod table_arm;
mod table_x32;
mod table_x86;
mod table_x86_64;

use std::os::fd::OwnedFd;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub use assemble::Instruction;
pub use syscalls::Machine;

/// Why a profile is no filter, or a filter was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// The filter would be larger than the kernel accepts.
    #[error(
        "seccomp: the filter has {instructions} instructions, the kernel takes {MAX_INSTRUCTIONS}"
    )]
    TooLong {
        /// Its size.
        instructions: usize,
    },
    /// The profile has more rules than are read.
    #[error("seccomp: the profile has more than {limit} rules")]
    TooManyRules {
        /// The limit.
        limit: usize,
    },
    /// A condition names an argument that no system call has.
    #[error("seccomp: system call {syscall}: no argument {index}, they are 0 to 5")]
    Argument {
        /// The system call.
        syscall: String,
        /// The index as given.
        index: usize,
    },
    /// An error number that the kernel would change, or one beside an action that returns none.
    #[error("seccomp: {place}: error number {errno} cannot be returned by {action}")]
    Errno {
        /// The rule or the default.
        place: String,
        /// The number.
        errno: u32,
        /// The action.
        action: String,
    },
    /// An action that cannot be had at this place.
    #[error("seccomp: {place}: action {action} is not possible here")]
    Action {
        /// The rule or the default.
        place: String,
        /// The action.
        action: String,
    },
    /// There is no table of system calls for the machine this program was made for.
    #[error("seccomp: no table of system calls for this machine")]
    Machine,
    /// The kernel refused the filter.
    #[error("seccomp: load the filter")]
    Install(#[source] std::io::Error),
}

/// What the kernel takes at most (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Rules (names times argument conditions) that a profile may have.
pub const MAX_RULES: usize = 65_536;

/// A compiled profile, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    instructions: Vec<Instruction>,
    flags: u32,
    unknown: Vec<String>,
    notifies: bool,
}

/// Compiles `profile` for the machine this program runs on.
///
/// # Errors
/// [`SeccompError`] names the rule that cannot be kept. Nothing but a name that no table has is ever
/// skipped.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    compile_for(Machine::native().ok_or(SeccompError::Machine)?, profile)
}

/// Compiles `profile` for `machine` (the native architecture of the kernel that will load it).
///
/// # Errors
/// As [`compile`].
pub fn compile_for(machine: Machine, profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    let parsed = profile::Profile::parse(profile)?;
    let (instructions, unknown) = program::assemble(machine, &parsed)?;
    Ok(Filter { instructions, flags: flags(profile), unknown, notifies: parsed.notifies() })
}

impl Filter {
    /// The program.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Names of the profile that none of the architectures in question has: newer than this table, or
    /// of another machine. They fall to the default action.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether a rule asks a listener (`SCMP_ACT_NOTIFY`). Then [`Filter::install`] gives the listener's
    /// descriptor, and who cannot pass it on must refuse the profile.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Loads the filter into the calling thread, and all its later children. It allocates nothing and
    /// makes a single system call. Either `no_new_privs` is set or the caller has `CAP_SYS_ADMIN` in
    /// its user namespace. The descriptor is that of the listener, when a rule asks one.
    ///
    /// # Errors
    /// [`SeccompError::Install`].
    pub fn install(&self) -> Result<Option<OwnedFd>, SeccompError> {
        install::load(&self.instructions, self.flags, self.notifies).map_err(SeccompError::Install)
    }
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    profile
        .flags()
        .iter()
        .flatten()
        .map(|flag| match flag {
            // The thread that loads the filter is the only one there is.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => install::LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => install::SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => install::WAIT_KILLABLE,
        })
        .fold(0, |all, flag| all | flag)
}
