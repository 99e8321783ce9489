//! Why a container has no network.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// Why a container could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not an id that a lease can be named by.
    #[error("{0:?} is no id of a container")]
    BadId(String),
    /// The process whose namespace was to be connected is not there.
    #[error("process {0} is gone")]
    Gone(u32),
    /// The system refused.
    #[error("{doing}")]
    System {
        /// What was being done, with its object.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Every network that could be the bridge's is in use on this machine.
    #[error("no network is left for {bridge}: the machine has routes into each of {tried}")]
    NoSubnet {
        /// The bridge.
        bridge: &'static str,
        /// What was looked at.
        tried: String,
    },
    /// Every address of the bridge's network is taken.
    #[error("every address of {0} is taken")]
    Full(String),
    /// The port of the machine is in use.
    #[error("port {port} ({protocol}) of the machine is taken by {holder}")]
    PortTaken {
        /// The port.
        port: u16,
        /// TCP or UDP.
        protocol: &'static str,
        /// By whom, as far as it is known.
        holder: String,
    },
    /// A port was to be published at an address that cannot be used so.
    #[error("port {port} cannot be published at {address}: {why}")]
    BadAddress {
        /// The port.
        port: u16,
        /// The address.
        address: IpAddr,
        /// Why not.
        why: &'static str,
    },
    /// The program pasta is not there.
    #[error("pasta is in none of {0}: install the package passt")]
    PastaMissing(String),
    /// The program pasta refused.
    #[error("{path}: {message}")]
    Pasta {
        /// The program.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// A file does not say what it should.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: serde_json::Error,
    },
}

/// Names what was being done when the system refused.
pub(super) trait Doing<T> {
    /// Adds what was being done.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, NetworkError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError::System { doing: doing(), source: source.into() })
    }
}
