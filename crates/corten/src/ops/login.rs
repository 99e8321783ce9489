//! Keeping and forgetting credentials.

use corten_registry::{Credential, Keyring, KeyringFormat, Programs, Secret, verify_login};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Context, Failure};

/// A credential that is kept now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LoginReport {
    /// The registry, as it was given.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The file it is kept in, or that names the helper that keeps it.
    pub kept_in: String,
}

/// A credential that is gone.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogoutReport {
    /// The registry, as it was given.
    pub registry: String,
    /// The files it was taken out of.
    pub removed_from: Vec<String>,
}

/// Tries the credential at the registry and, when it is accepted, keeps it: in the file given with
/// `--authfile`, else in Docker's, where every tool of the field finds it.
pub async fn login(
    context: &Context,
    registry: &str,
    username: String,
    password: String,
) -> Result<LoginReport, Failure> {
    let host = host_of(registry)?;
    let credential =
        Credential::Password { username: username.clone(), password: Secret::new(password) };
    verify_login(host, &credential, context.transport(host)?).await?;
    let ring = context.keyrings().into_iter().next().ok_or_else(no_home)?;
    ring.store(registry, &credential, &Programs::default()).await?;
    Ok(LoginReport {
        registry: registry.to_owned(),
        username,
        kept_in: ring.path.display().to_string(),
    })
}

/// Forgets what is kept for the registry, wherever it is kept.
pub async fn logout(context: &Context, registry: &str) -> Result<LogoutReport, Failure> {
    host_of(registry)?;
    let mut removed_from = Vec::new();
    let mut nothing = None;
    for ring in context.keyrings() {
        match ring.remove(registry, &Programs::default()).await {
            Ok(()) => removed_from.push(ring.path.display().to_string()),
            Err(error @ corten_registry::CredentialError::NotStored(_)) => nothing = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match nothing {
        Some(error) if removed_from.is_empty() => Err(error.into()),
        _ => Ok(LogoutReport { registry: registry.to_owned(), removed_from }),
    }
}

/// The host of `host[/path]`; whoever writes a scheme means the host after it.
fn host_of(registry: &str) -> Result<&str, Failure> {
    let host = registry.split('/').next().unwrap_or_default();
    if registry.contains("://") || host.is_empty() {
        let text =
            format!("'{registry}' is no registry: write host or host/path, without a scheme");
        return Err(Failure::Usage(text));
    }
    Ok(host)
}

fn no_home() -> Failure {
    Failure::Usage("there is no home directory to keep credentials in: give --authfile".to_owned())
}

impl Context {
    /// The files of credentials, in the order in which they are asked: the one given, else
    /// `REGISTRY_AUTH_FILE`, Docker's, and those of the containers tools.
    pub(crate) fn keyrings(&self) -> Vec<Keyring> {
        let docker = |path| Keyring { path, format: KeyringFormat::Docker };
        let containers = |path| Keyring { path, format: KeyringFormat::Containers };
        if let Some(path) = self.authfile() {
            return vec![docker(path.to_owned())];
        }
        let environment = self.environment();
        if let Some(path) = environment.variable("REGISTRY_AUTH_FILE") {
            return vec![containers(path.into())];
        }
        let docker_directory = environment.directory("DOCKER_CONFIG", ".docker");
        let runtime = environment.variable("XDG_RUNTIME_DIR").map_or_else(
            || format!("/run/containers/{}", environment.user()),
            |directory| format!("{directory}/containers"),
        );
        let config = environment.directory("XDG_CONFIG_HOME", ".config");
        let mut rings = Vec::new();
        rings.extend(docker_directory.map(|path| docker(path.join("config.json"))));
        rings.push(containers(format!("{runtime}/auth.json").into()));
        rings.extend(config.map(|path| containers(path.join("containers/auth.json"))));
        rings
    }
}
