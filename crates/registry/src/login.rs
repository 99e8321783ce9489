//! Logging in: whether a registry accepts a credential.

use std::sync::Arc;

use corten_spec::Location;
use corten_store::StoreError;

use crate::exchange::Remote;
use crate::scopes::Scopes;
use crate::wire::{Repository, Route};
use crate::{Connection, Credential, Transport};

/// Asks `host` for nothing but to be let in with `credential`. A registry that asks nobody for
/// anything accepts every credential.
pub async fn verify_login(
    host: &str,
    credential: &Credential,
    transport: Transport,
) -> Result<(), StoreError> {
    let connection = Connection::new(transport, Arc::new(credential.clone()))?;
    let remote = Remote::of_host(host, connection)?;
    let mut about = remote.about("login", "the registry's API");
    about.action = "the login".to_owned();
    let ask = remote.ask(&Route::Base, about).await?;
    remote.send(&ask, &Scopes::none()).await?.success().await.map(drop)
}

impl Remote {
    /// For requests that are about a host and no repository.
    pub(crate) fn of_host(host: &str, connection: Arc<Connection>) -> Result<Self, StoreError> {
        // The repository stands for the paths of routes that these requests do not use.
        let repository = Repository::parse("none").map_err(|source| StoreError::Malformed {
            object: "a host".to_owned(),
            place: host.to_owned(),
            source: source.into(),
        })?;
        let location = Location { host: host.to_owned(), repository: String::new() };
        Ok(Self { host: connection.host(host), connection, location, repository })
    }
}
