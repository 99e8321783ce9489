//! Capabilities of a process: names to bits, and the steps by which a process comes to have exactly
//! those of its config, around the change of its user.
//!
//! The order is the kernel's: the bounding set shrinks while `CAP_SETPCAP` is still held; then the user
//! changes, with permitted capabilities kept; then permitted, effective and inheritable are set at
//! once; then the ambient ones, which must be permitted and inheritable:
//!
//! ```text
//! Sets::of(config) → Sets::held → bound() → keep() → setgid, setuid → apply()
//! ```

use std::io;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Why capabilities are not as asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// No capability has this name.
    #[error("no capability is called {0}")]
    Unknown(String),
    /// The caller's own cannot be read.
    #[error("read the capabilities of this process")]
    Read(#[source] io::Error),
    /// A capability stayed in, or could not leave, a set.
    #[error("{set} capabilities: {name}")]
    One {
        /// The set.
        set: &'static str,
        /// The capability, or all of them.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The sets were refused.
    #[error("set the capabilities of this process")]
    Set(#[source] io::Error),
}

/// The five sets, by bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What the process and its children may ever come to have by a file.
    pub bounding: u64,
    /// What counts now.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What stays over an execve, together with the file's.
    pub inheritable: u64,
    /// What stays over an execve of an ordinary file.
    pub ambient: u64,
}

/// The highest capability a kernel could have: sets have 64 bits.
const BITS: u8 = 64;

impl Sets {
    /// The sets of a config; one that is not given is empty.
    #[must_use]
    pub fn of(config: &LinuxCapabilities) -> Self {
        Self {
            bounding: bits(config.bounding().as_ref()),
            effective: bits(config.effective().as_ref()),
            permitted: bits(config.permitted().as_ref()),
            inheritable: bits(config.inheritable().as_ref()),
            ambient: bits(config.ambient().as_ref()),
        }
    }

    /// These sets less what the caller cannot give, and the names of that: what it does not hold
    /// itself, and what is ambient or effective without being permitted. An engine tells the names and
    /// goes on, as the others do; who wants an error has them too.
    ///
    /// # Errors
    /// [`CapabilityError::Read`].
    pub fn held(&self) -> Result<(Self, Vec<String>), CapabilityError> {
        let own =
            thread::capabilities(None).map_err(|cause| CapabilityError::Read(cause.into()))?;
        let bounding = bounding()?;
        // What is permitted after an execve by root comes from the bounding set, but before it only
        // what the caller holds.
        Ok(self.within(own.permitted.bits() & bounding, own.inheritable.bits(), bounding))
    }

    fn within(&self, permitted: u64, inheritable: u64, bounding: u64) -> (Self, Vec<String>) {
        let mut kept = Self {
            bounding: self.bounding & bounding,
            effective: 0,
            permitted: self.permitted & permitted,
            inheritable: self.inheritable & (permitted | inheritable),
            ambient: 0,
        };
        kept.effective = self.effective & kept.permitted;
        kept.ambient = self.ambient & kept.permitted & kept.inheritable;
        let lost = (self.bounding & !kept.bounding)
            | (self.effective & !kept.effective)
            | (self.permitted & !kept.permitted)
            | (self.inheritable & !kept.inheritable)
            | (self.ambient & !kept.ambient);
        (kept, names(lost))
    }

    /// Takes out of the bounding set what is not in it here. Needs `CAP_SETPCAP`, so it comes before
    /// the user changes.
    ///
    /// # Errors
    /// [`CapabilityError::One`] with the capability that stays.
    pub fn bound(&self) -> Result<(), CapabilityError> {
        for bit in 0..BITS {
            let capability = CapabilitySet::from_bits_retain(1 << bit);
            if self.bounding & capability.bits() != 0 {
                continue;
            }
            match thread::capability_is_in_bounding_set(capability) {
                Ok(false) => {}
                // Past the last one that this kernel knows.
                Err(rustix::io::Errno::INVAL) => break,
                Ok(true) | Err(_) => thread::remove_capability_from_bounding_set(capability)
                    .map_err(|cause| one("bounding", bit, cause))?,
            }
        }
        Ok(())
    }

    /// Sets the other four, exactly. It comes after the change of the user.
    ///
    /// # Errors
    /// [`CapabilityError::Set`], or [`CapabilityError::One`] with an ambient capability that is not
    /// both permitted and inheritable, or that secure bits forbid.
    pub fn apply(&self) -> Result<(), CapabilityError> {
        match thread::clear_ambient_capability_set() {
            // Kernels before 4.3 have none.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(cause) => {
                return Err(CapabilityError::One {
                    set: "ambient",
                    name: "all".to_owned(),
                    source: cause.into(),
                });
            }
        }
        let sets = CapabilitySets {
            effective: CapabilitySet::from_bits_retain(self.effective),
            permitted: CapabilitySet::from_bits_retain(self.permitted),
            inheritable: CapabilitySet::from_bits_retain(self.inheritable),
        };
        thread::set_capabilities(None, sets).map_err(|cause| CapabilityError::Set(cause.into()))?;
        for bit in (0..BITS).filter(|bit| self.ambient & (1 << bit) != 0) {
            let capability = CapabilitySet::from_bits_retain(1 << bit);
            thread::configure_capability_in_ambient_set(capability, true)
                .map_err(|cause| one("ambient", bit, cause))?;
        }
        Ok(())
    }
}

/// Keeps permitted capabilities over the coming change from root to an ordinary user. The kernel
/// forgets this by itself at the next execve.
///
/// # Errors
/// [`CapabilityError::Set`].
pub fn keep() -> Result<(), CapabilityError> {
    thread::set_keep_capabilities(true).map_err(|cause| CapabilityError::Set(cause.into()))
}

/// Does all of it for a process that does not change its user: leaves out what cannot be had, and gives
/// the names of that.
///
/// # Errors
/// As the steps.
pub fn apply(config: &LinuxCapabilities) -> Result<Vec<String>, CapabilityError> {
    let (sets, lost) = Sets::of(config).held()?;
    sets.bound()?;
    sets.apply()?;
    Ok(lost)
}

/// The capability called `name`, with `CAP_` before it or without, in any case.
///
/// # Errors
/// [`CapabilityError::Unknown`].
pub fn parse(name: &str) -> Result<Capability, CapabilityError> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    BY_BIT
        .iter()
        .find(|capability| capability.to_string() == short)
        .copied()
        .ok_or_else(|| CapabilityError::Unknown(name.to_owned()))
}

/// The names of the capabilities in `set`, as users write them (`CAP_CHOWN`).
#[must_use]
pub fn names(set: u64) -> Vec<String> {
    (0..BITS).filter(|bit| set & (1 << bit) != 0).map(name).collect()
}

/// All capabilities that the kernel lets a child of this process have.
///
/// # Errors
/// [`CapabilityError::Read`].
pub fn bounding() -> Result<u64, CapabilityError> {
    let mut all = 0;
    for bit in 0..BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match thread::capability_is_in_bounding_set(capability) {
            Ok(true) => all |= 1 << bit,
            Ok(false) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(cause) => return Err(CapabilityError::Read(cause.into())),
        }
    }
    Ok(all)
}

/// The bits of a set of names.
#[must_use]
pub fn bits(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |all, capability| {
        let at = BY_BIT.iter().position(|known| known == capability);
        all | at.map_or(0, |at| 1 << at)
    })
}

fn name(bit: u8) -> String {
    match BY_BIT.get(usize::from(bit)) {
        Some(capability) => format!("CAP_{capability}"),
        None => format!("capability {bit}"),
    }
}

fn one(set: &'static str, bit: u8, cause: rustix::io::Errno) -> CapabilityError {
    CapabilityError::One { set, name: name(bit), source: cause.into() }
}

/// Capabilities in the order of their numbers (`linux/capability.h`).
const BY_BIT: [Capability; 41] = [
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
