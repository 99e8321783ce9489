//! Keyrings: the credential files of the field, and the programs they name.
//!
//! ```text
//! { "auths":       { "registry.example.com/team": { "auth": base64("user:password") } },
//!   "credHelpers": { "registry.example.com": "name" },      docker-credential-name get/store/erase
//!   "credsStore":  "name" }
//! ```
//!
//! Docker's `config.json` and the `auth.json` of the containers tools share this shape; only the
//! latter's tools look for keys with a path. Here every key may have one, and the most specific
//! key wins.

mod entry;
mod file;
mod program;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use corten_spec::Location;
use corten_store::Cause;
use serde::{Deserialize, Serialize};

use crate::{Credential, CredentialError, Keychain, Secret};
use file::{Content, key_of};
pub use program::Programs;

/// Text by which credential helpers say that they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// User name by which credential helpers mark an identity token.
const TOKEN_USER: &str = "<token>";

/// One file of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Whose spelling of the default registry it uses.
    pub format: KeyringFormat,
}

/// Whose file it is. They differ in one key: `https://index.docker.io/v1/` against `docker.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringFormat {
    /// Docker's `config.json`.
    Docker,
    /// `auth.json` of the containers tools.
    Containers,
}

/// What is asked of a credential helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperAction {
    /// Tell the credential of a server.
    Get,
    /// Keep one.
    Store,
    /// Forget one.
    Erase,
}

impl HelperAction {
    /// The argument of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Store => "store",
            Self::Erase => "erase",
        }
    }
}

/// What a credential helper answered.
pub struct HelperAnswer {
    /// Whether it ended well.
    pub success: bool,
    /// Its standard output: secrets, or the reason of a failure.
    pub output: Vec<u8>,
}

/// Runs credential helpers: `docker-credential-NAME ACTION` with `input` on standard input.
#[async_trait]
pub trait CredentialHelper: Send + Sync {
    /// Calls the helper `name` and waits for its end.
    async fn call(
        &self,
        name: &str,
        action: HelperAction,
        input: Vec<u8>,
    ) -> io::Result<HelperAnswer>;
}

/// Several keyrings, asked in their order; those that do not exist are passed over.
pub struct Keyrings {
    /// The files.
    pub rings: Vec<Keyring>,
    /// Who runs the helpers they name.
    pub helper: Arc<dyn CredentialHelper>,
}

#[async_trait]
impl Keychain for Keyrings {
    async fn credential(&self, location: &Location) -> Result<Option<Credential>, CredentialError> {
        for ring in &self.rings {
            if let Some(found) = ring.find(location, self.helper.as_ref()).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The protocol of the helpers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperEntry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Keyring {
    async fn find(
        &self,
        location: &Location,
        helper: &dyn CredentialHelper,
    ) -> Result<Option<Credential>, CredentialError> {
        let content = Content::read(&self.path)?;
        let host = key_of(&location.host);
        if let Some(name) = content.helper_of(&host) {
            return ask(helper, name, &server_url(&host)).await;
        }
        if let Some(found) = content.entry(location)? {
            return Ok(Some(found));
        }
        match content.store() {
            Some(name) => ask(helper, name, &server_url(&host)).await,
            None => Ok(None),
        }
    }

    /// Keeps `credential` for `key` (a host, or a host with a path), in the helper that the file
    /// names for it, else in the file itself, readable by its owner alone. Everything else in the
    /// file stays.
    pub async fn store(
        &self,
        key: &str,
        credential: &Credential,
        helper: &dyn CredentialHelper,
    ) -> Result<(), CredentialError> {
        let mut content = Content::read(&self.path)?;
        let key = key_of(key);
        match content.helper_of(&key).or(content.store()) {
            Some(name) => {
                let (username, secret) = match credential {
                    Credential::Password { username, password } => (username.as_str(), password),
                    Credential::IdentityToken(token) => (TOKEN_USER, token),
                    Credential::RegistryToken(_) => {
                        let why = "it keeps passwords and identity tokens only";
                        return Err(failed(name, HelperAction::Store, why.into()));
                    }
                };
                let entry = HelperEntry {
                    server_url: server_url(&key),
                    username: username.to_owned(),
                    secret: secret.reveal().to_owned(),
                };
                let input = serde_json::to_vec(&entry)
                    .map_err(|error| failed(name, HelperAction::Store, error.into()))?;
                call(helper, name, HelperAction::Store, input).await?;
                content.set(&self.spelled(&key), None);
            }
            None => content.set(&self.spelled(&key), Some(credential)),
        }
        content.write(&self.path)
    }

    /// Forgets what is kept for `key`, in the file and in the helper it names;
    /// [`CredentialError::NotStored`] when that is nothing.
    pub async fn remove(
        &self,
        key: &str,
        helper: &dyn CredentialHelper,
    ) -> Result<(), CredentialError> {
        let mut content = Content::read(&self.path)?;
        let key = key_of(key);
        let mut found = content.remove(&key);
        if let Some(name) = content.helper_of(&key).or(content.store()) {
            let server = server_url(&key);
            if ask(helper, name, &server).await?.is_some() {
                call(helper, name, HelperAction::Erase, server.into_bytes()).await?;
                found = true;
            }
        }
        if !found {
            return Err(CredentialError::NotStored(key));
        }
        content.write(&self.path)
    }

    fn spelled(&self, key: &str) -> String {
        match self.format {
            KeyringFormat::Docker => server_url(key),
            KeyringFormat::Containers => key.to_owned(),
        }
    }
}

/// What Docker's tools call a host.
fn server_url(key: &str) -> String {
    match key {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other.to_owned(),
    }
}

fn failed(name: &str, action: HelperAction, source: Cause) -> CredentialError {
    CredentialError::Helper { name: name.to_owned(), action: action.as_str(), source }
}

async fn ask(
    helper: &dyn CredentialHelper,
    name: &str,
    server: &str,
) -> Result<Option<Credential>, CredentialError> {
    let action = HelperAction::Get;
    let answer = helper.call(name, action, server.as_bytes().to_vec()).await;
    let answer = answer.map_err(|error| failed(name, action, error.into()))?;
    if !answer.success {
        let said = said(&answer.output);
        return if said.contains(NOT_FOUND) || said.is_empty() {
            Ok(None)
        } else {
            Err(failed(name, action, said.into()))
        };
    }
    let entry: HelperEntry = serde_json::from_slice(&answer.output)
        .map_err(|_| failed(name, action, "its answer is not of the protocol".into()))?;
    let secret = Secret::new(entry.secret);
    Ok(Some(match entry.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(secret),
        _ => Credential::Password { username: entry.username, password: secret },
    }))
}

async fn call(
    helper: &dyn CredentialHelper,
    name: &str,
    action: HelperAction,
    input: Vec<u8>,
) -> Result<(), CredentialError> {
    let answer = helper.call(name, action, input).await;
    let answer = answer.map_err(|error| failed(name, action, error.into()))?;
    if answer.success { Ok(()) } else { Err(failed(name, action, said(&answer.output).into())) }
}

/// The reason a helper gave, in one line.
fn said(output: &[u8]) -> String {
    crate::answer::clean(&String::from_utf8_lossy(output))
}

#[cfg(test)]
mod tests;
