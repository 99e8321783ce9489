//! What steps of a build may have only where whoever builds says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use corten_dockerfile::{Run, RunNetwork, Security};
use corten_run::AgentPlace;
use rustix::thread::CapabilitySet;

use crate::devices::StepDevices;
use crate::error::{Result, failed, refused};
use crate::request::StepNetwork;

/// What a Dockerfile asks for and does not get by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// `RUN --network=host`: the machine's network.
    NetworkHost,
    /// `RUN --security=insecure`: all of the machine.
    SecurityInsecure,
}

impl Entitlement {
    /// How it is written, as BuildKit does.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        }
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Entitlement {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "network.host" => Ok(Self::NetworkHost),
            "security.insecure" => Ok(Self::SecurityInsecure),
            _ => Err(format!(
                "{text}: entitlements are network.host, security.insecure and device[=NAME]"
            )),
        }
    }
}

/// What a build lets its steps have besides.
///
/// ```
/// use corten_build::{Entitlement, Grants};
///
/// let mut grants = Grants::default();
/// grants.allowed.insert("network.host".parse().unwrap());
/// assert!(grants.allowed.contains(&Entitlement::NetworkHost));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Agents of ssh, by the ids that `RUN --mount=type=ssh` names.
    pub agents: BTreeMap<String, AgentPlace>,
    /// What is allowed.
    pub allowed: BTreeSet<Entitlement>,
    /// Devices of the machine.
    pub devices: StepDevices,
    /// The shell that whoever builds gets in the state of a RUN that failed.
    pub shell: Option<String>,
}

/// The capabilities that this process lacks: nobody gets them from it.
pub(crate) fn lacking() -> Result<Vec<String>> {
    let own = rustix::thread::capabilities(None).map_err(failed("capabilities", "reading"))?;
    let lacking = CapabilitySet::all().difference(own.permitted);
    Ok(lacking.iter_names().map(|(name, _)| name.to_owned()).collect())
}

impl Grants {
    fn check(&self, wanted: Entitlement, flag: &str) -> Result<()> {
        if self.allowed.contains(&wanted) {
            return Ok(());
        }
        refused(format!("{flag} is for who builds to allow: --allow {wanted}"))
    }

    /// The network of a RUN, and how it is confined; refused where that is not granted.
    pub(crate) fn of(&self, run: &Run, usual: StepNetwork) -> Result<(StepNetwork, Security)> {
        if run.security == Security::Insecure {
            self.check(Entitlement::SecurityInsecure, "--security=insecure")?;
        }
        let network = match run.network {
            RunNetwork::Default => usual,
            RunNetwork::None => StepNetwork::None,
            // Who gives it to every step has said so.
            RunNetwork::Host if usual == StepNetwork::Host => usual,
            RunNetwork::Host => {
                self.check(Entitlement::NetworkHost, "--network=host")?;
                StepNetwork::Host
            }
        };
        Ok((network, run.security))
    }
}
