//! One entry of `auths`: a credential in one of the forms that tools write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Credential, Secret};

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(default, rename = "registrytoken")]
    registry_token: Option<String>,
}

/// The credential in `value`; `None` where an entry only marks that a helper has one. The error
/// does not repeat what stands there.
pub(super) fn read(value: &Value) -> Result<Option<Credential>, &'static str> {
    let entry: Option<Entry> =
        serde_json::from_value(value.clone()).map_err(|_| "it is no entry of credentials")?;
    let entry = entry.unwrap_or_default();
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = set(entry.registry_token) {
        return Ok(Some(Credential::RegistryToken(Secret::new(token))));
    }
    if let Some(token) = set(entry.identity_token) {
        return Ok(Some(Credential::IdentityToken(Secret::new(token))));
    }
    if let Some(auth) = set(entry.auth) {
        let bytes = STANDARD.decode(auth.trim()).map_err(|_| "its 'auth' is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "its 'auth' is not text")?;
        let (username, password) = text.split_once(':').ok_or("its 'auth' is not user:password")?;
        // Some writers pad the password with zero bytes.
        let password = Secret::new(password.trim_end_matches('\0'));
        return Ok(Some(Credential::Password { username: username.to_owned(), password }));
    }
    match (set(entry.username), set(entry.password)) {
        (Some(username), Some(password)) => {
            Ok(Some(Credential::Password { username, password: Secret::new(password) }))
        }
        _ => Ok(None),
    }
}

/// The entry for `credential`; an empty one marks that a helper has it.
pub(super) fn write(credential: Option<&Credential>) -> Value {
    match credential {
        None => Value::Object(Map::new()),
        Some(Credential::Password { username, password }) => {
            json!({ "auth": STANDARD.encode(format!("{username}:{}", password.reveal())) })
        }
        Some(Credential::IdentityToken(token)) => json!({ "identitytoken": token.reveal() }),
        Some(Credential::RegistryToken(token)) => json!({ "registrytoken": token.reveal() }),
    }
}
