//! [`Registry`]: one repository of one host, as a store with all ports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corten_spec::{Location, RefName, Tag};
use corten_store::{Store, StoreError};

use crate::Connection;
use crate::exchange::Remote;
use crate::wire::Repository;

/// One repository of a registry. Opening it sends nothing; cloning it shares everything.
#[derive(Clone)]
pub struct Registry {
    pub(crate) remote: Remote,
    /// Set once the registry has shown that it has no referrers API.
    pub(crate) lacks_referrers: Arc<AtomicBool>,
}

impl Registry {
    /// The repository at `location`, reached through `connection`. Fails only when the repository
    /// breaks the grammar of distribution-spec.
    pub fn open(location: Location, connection: Arc<Connection>) -> Result<Self, StoreError> {
        let repository =
            Repository::parse(&location.repository).map_err(|source| StoreError::Malformed {
                object: location.repository.clone(),
                place: location.host.clone(),
                source: source.into(),
            })?;
        let host = connection.host(&location.host);
        let remote = Remote { connection, host, location, repository };
        Ok(Self { remote, lacks_referrers: Arc::new(AtomicBool::new(false)) })
    }

    /// The tag that `name` is; other names cannot live in a registry.
    pub(crate) fn tag_of(&self, name: &RefName) -> Result<Tag, StoreError> {
        Tag::parse(name.as_str()).map_err(|_| StoreError::Unsupported {
            place: self.describe(),
            action: format!("the name '{name}', which is no tag"),
        })
    }

    pub(crate) fn lacks_referrers(&self) -> bool {
        self.lacks_referrers.load(Ordering::Relaxed)
    }
}

impl Store for Registry {
    fn describe(&self) -> String {
        self.remote.location.to_string()
    }

    fn location(&self) -> Option<Location> {
        Some(self.remote.location.clone())
    }
}
