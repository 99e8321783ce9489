//! Control groups of systemd: a transient scope, made over D-Bus around the first process of a container
//! (org.freedesktop.systemd1(5); systemd's "The New Control Group Interfaces").
//!
//! ```text
//! first process waits ─ StartTransientUnit(scope, its pid, limits) ─ JobRemoved ─ its group is the scope's
//! ```
//!
//! The scope is delegated: below and in it the engine does what it does in groups of its own making. What systemd
//! manages itself is told to it as well, or it would set it anew at its next reload.

mod bus;
mod name;
mod properties;

use crate::error::{Error, Result};
use bus::{Bus, Fault};
pub(crate) use name::Scope;
pub(crate) use properties::{Property, properties};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use zbus::wire::Variant;

/// How often, and how long apart, a scope is asked for whose name one has that is ending.
const ATTEMPTS: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);
/// What systemd says when a unit of that name is there.
const EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// The systemd that makes groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Systemd {
    /// Where its bus is: a list of addresses as D-Bus writes them, of which those of sockets with a path are tried.
    pub address: String,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose systemd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// The machine's.
    Machine,
    /// A user's own.
    User,
}

/// A scope that was made, for its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    systemd: Systemd,
    pub(crate) name: String,
}

impl Systemd {
    /// Whether there is a bus at that address.
    pub fn answers(&self) -> bool {
        Bus::is_there(&self.address)
    }

    /// Makes the scope around a process, which has been moved into it when this returns.
    pub(crate) fn start(&self, scope: &Scope, pid: i32, more: Vec<Property>) -> Result<()> {
        let fault = |fault| self.error("make the scope", &scope.unit, fault);
        let mut bus = Bus::connect(&self.address).map_err(fault)?;
        bus.watch_jobs().map_err(fault)?;
        let properties = properties::of_scope(scope, pid, more);
        let nothing: &[(&str, Vec<(&str, Variant<'_>)>)] = &[];
        let asked = (scope.unit.as_str(), "fail", properties, nothing);
        let mut left = ATTEMPTS;
        loop {
            match bus.job("StartTransientUnit", &asked) {
                // The one before it is being taken away, or failed and waits to be forgotten.
                Err(Fault::Told { name, .. }) if name == EXISTS && left > 0 => {
                    left -= 1;
                    let _ = bus.call("ResetFailedUnit", &scope.unit.as_str());
                    std::thread::sleep(PAUSE);
                }
                done => return done.map_err(fault),
            }
        }
    }

    fn error(&self, action: &str, unit: &str, fault: Fault) -> Error {
        Error::Group {
            action: format!("systemd: {action} {unit}"),
            path: PathBuf::from(&self.address),
            source: fault.into(),
        }
    }

    /// The scope as it is recorded.
    pub(crate) fn unit(&self, scope: &Scope) -> Unit {
        Unit { systemd: self.clone(), name: scope.unit.clone() }
    }
}

impl Unit {
    /// Moves one more process into the scope, where the kernel lets only systemd do it.
    pub(crate) fn attach(&self, pid: i32) -> Result<()> {
        let pids = [pid.unsigned_abs()];
        let moved = Bus::connect(&self.systemd.address).and_then(|mut bus| {
            bus.call("AttachProcessesToUnit", &(self.name.as_str(), "", pids.as_slice()))
        });
        moved.map_err(|fault| self.systemd.error("enter", &self.name, fault)).map(drop)
    }

    /// Tells systemd new values of what it manages.
    pub(crate) fn set(&self, more: &[Property]) -> Result<()> {
        if more.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let told = Bus::connect(&self.systemd.address)
            .and_then(|mut bus| bus.call("SetUnitProperties", &(self.name.as_str(), true, all)));
        told.map_err(|fault| self.systemd.error("change the scope", &self.name, fault)).map(drop)
    }

    /// Ends a scope of which nothing else is known.
    pub(crate) fn stop(&self) {
        if let Ok(mut bus) = Bus::connect(&self.systemd.address) {
            // It need not be there.
            let _ = bus.call("StopUnit", &(self.name.as_str(), "replace"));
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        match fault {
            Fault::Io(error) => error,
            Fault::Told { name, text } => io::Error::other(format!("{text} ({name})")),
            Fault::Wrong(text) => io::Error::other(text),
        }
    }
}
