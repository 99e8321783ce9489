//! Credentials, and who knows them.

use std::path::PathBuf;
use std::{fmt, io};

use async_trait::async_trait;
use corten_spec::Location;
use corten_store::Cause;

/// A text that never prints: not with `{}`, not with `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text itself, for the one place that sends or stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a registry or its token service accepts as proof of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user name with a password or an access token in its place.
    Password {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// A refresh token: changed for access tokens at the token service (OAuth2).
    IdentityToken(Secret),
    /// An access token, sent to the registry as it is.
    RegistryToken(Secret),
}

/// Why a keychain could not tell or keep a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file of credentials could not be read or written.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file of credentials is not what it should be.
    #[error("{} is not a file of credentials", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// In what way.
        source: Cause,
    },
    /// A credential helper did not answer, or answered with an error.
    #[error("credential helper '{name}' failed at {action}")]
    Helper {
        /// Its name, without `docker-credential-`.
        name: String,
        /// What it was asked for.
        action: &'static str,
        /// What it said.
        source: Cause,
    },
    /// The token service of a registry is another host, which nobody named for it.
    #[error(
        "the token service of {registry} is {service}, which is another host that was not named for it: it is not \
         shown the credential"
    )]
    Withheld {
        /// The host of the registry.
        registry: String,
        /// The host that its challenge names, or its own where others are named.
        service: String,
    },
    /// There is nothing to take away.
    #[error("no credential for {0} is stored")]
    NotStored(String),
}

/// Knows credentials. Asked only after a registry has said that it wants one.
#[async_trait]
pub trait Keychain: Send + Sync {
    /// The credential for `location`; `None` means: ask without one.
    async fn credential(&self, location: &Location) -> Result<Option<Credential>, CredentialError>;
}

/// Knows no credential.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Keychain for Anonymous {
    async fn credential(&self, _: &Location) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// One credential, for every location.
#[async_trait]
impl Keychain for Credential {
    async fn credential(&self, _: &Location) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let credential =
            Credential::Password { username: "ann".into(), password: Secret::new("hunter2") };
        assert_eq!(
            format!("{credential:?}"),
            "Password { username: \"ann\", password: Secret(..) }"
        );
    }
}
