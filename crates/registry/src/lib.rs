//! The distribution protocol: its words and the client.
//!
//! ```text
//! Registry (one repository: all ports of corten-store)
//!    │  manifests, blobs, referrers, lists, upload      one file for each part of the protocol
//!    ▼
//! Remote::send     401 → challenge → keychain → token → once more
//!    ▼
//! Connection       redirects without secrets, waiting and trying again, one set of TLS settings
//! ```
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use corten_registry::{Anonymous, Connection, Registry, Transport};
//! use corten_spec::Location;
//! use corten_store::{Resolver, StoreError};
//!
//! # async fn list() -> Result<(), StoreError> {
//! let connection = Connection::new(Transport::default(), Arc::new(Anonymous))?;
//! let location = Location { host: "example.com".into(), repository: "team/app".into() };
//! let registry = Registry::open(location, connection)?;
//! for tag in registry.names().await? {
//!     assert!(!tag.as_str().is_empty());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here reads the environment or files of its own accord: settings, keychains and the
//! paths of credential files come in as values.

mod address;
mod answer;
mod blobs;
mod certificates;
mod connection;
mod download;
mod exchange;
mod ingest;
mod keyring;
mod lists;
mod login;
mod manifests;
mod rate;
mod realm;
mod referrers;
mod registry;
mod retry;
mod scopes;
mod secret;
mod token;
mod transport;
mod upload;
pub mod wire;

pub use certificates::certificates;
pub use connection::Connection;
pub use download::{Download, Downloaded, Sink, Validators, download};
pub use keyring::{
    CredentialHelper, HelperAction, HelperAnswer, Keyring, KeyringFormat, Keyrings, Programs,
};
pub use lists::catalog;
pub use login::verify_login;
pub use registry::Registry;
pub use secret::{Anonymous, Credential, CredentialError, Keychain, Secret};
pub use transport::{ClientCertificate, Insecure, Proxies, Retry, Timeouts, Tls, Transport};

/// A cause that is but a sentence.
pub(crate) fn cause(text: impl Into<String>) -> corten_store::Cause {
    corten_store::Cause::from(text.into())
}
