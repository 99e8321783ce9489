//! The configuration file: `config.toml` in the user's configuration directory, every key optional.
//!
//! ```toml
//! store = "/data/corten/store"   # the local store
//! jobs = 4                       # blobs in flight
//!
//! [admission]
//! deny = ["sha256:…", "example.com/team"]   # images that may not run: digests, names, beginnings
//!
//! [run]
//! form = "directories"           # how layers are kept ready; without it what the kernel can
//! verify = true                  # read and compare all that a container starts from, as run --verify
//!
//! [build]
//! cache-max = "20g"              # most bytes of the builder's cache after a build
//!
//! [registry."registry.example.com:5000"]
//! insecure = "http"              # or "skip-verify": TLS without checking the certificate
//! ca = "/etc/ssl/example-ca.pem" # an extra certificate authority
//! stall-seconds = 120            # silence after which a connection counts as broken
//! token-service = ["git.example"] # who may see the credential, where it is not the registry itself
//! ```

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use corten_bundle::Form;
use serde::{Deserialize, Serialize};

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory of the local store.
    pub store: Option<PathBuf>,
    /// Blobs in flight at once.
    pub jobs: Option<usize>,
    /// Which images may run.
    #[serde(default)]
    pub admission: AdmissionConfig,
    /// How containers run.
    #[serde(default)]
    pub run: RunSettings,
    /// How images are built.
    #[serde(default)]
    pub build: BuildSettings,
    /// Settings by registry host.
    #[serde(default)]
    pub registry: BTreeMap<String, RegistryConfig>,
}

/// Which images may run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Digests of manifests, indexes or configs, and names or beginnings of names up to a slash.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// How containers run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// How layers are kept ready.
    pub form: Option<FormWord>,
    /// Whether all that a container starts from is read and compared before it is made.
    #[serde(default)]
    pub verify: bool,
}

/// How images are built.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildSettings {
    /// Most bytes of the builder's cache after a build; no limit without it.
    #[serde(default, deserialize_with = "size")]
    pub cache_max: Option<u64>,
    /// Directories with descriptions of devices for `RUN --device`; `/etc/cdi` and `/var/run/cdi` without it.
    #[serde(default)]
    pub device_specs: Option<Vec<PathBuf>>,
}

/// A size as the command line takes it.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    crate::cli::size(&text).map(Some).map_err(serde::de::Error::custom)
}

/// How layers are kept ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FormWord {
    /// Plain tars under an EROFS index.
    Index,
    /// A directory per layer.
    Directories,
}

impl From<FormWord> for Form {
    fn from(word: FormWord) -> Self {
        match word {
            FormWord::Index => Self::Index,
            FormWord::Directories => Self::Directories,
        }
    }
}

impl From<Form> for FormWord {
    fn from(form: Form) -> Self {
        match form {
            Form::Index => Self::Index,
            Form::Directories => Self::Directories,
        }
    }
}

/// Settings for one registry host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistryConfig {
    /// `http` or `skip-verify`.
    pub insecure: Option<InsecureWord>,
    /// File with extra certificate authorities, PEM.
    pub ca: Option<PathBuf>,
    /// File with the client's certificate, PEM.
    pub client_cert: Option<PathBuf>,
    /// File with the client's key, PEM.
    pub client_key: Option<PathBuf>,
    /// Seconds of silence, while an answer or the next piece of a body is due, after which a
    /// connection counts as broken and is made anew; 60 without it.
    pub stall_seconds: Option<NonZeroU32>,
    /// Hosts of token services, with their port where they have one, that may see the credential of this registry:
    /// where it is given, they and nobody else.
    pub token_service: Option<Vec<String>>,
}

/// How a registry may be spoken to without checked TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum InsecureWord {
    /// Plain HTTP.
    Http,
    /// TLS, any certificate.
    SkipVerify,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("{}: reading failed", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than a configuration can be.
    #[error("{} is larger than {MAX_CONFIG} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no configuration.
    #[error("{} is not a valid configuration", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// The environment names no place for the store.
    #[error("there is no home directory to keep the store in: set CORTEN_STORE")]
    NoHome,
    /// The store is another user's, who could change under this one's hands whatever is in it.
    #[error(
        "the store {} is user {owner}'s, not this user's: name a directory of one's own, or one below it, with \
         --store or CORTEN_STORE",
        path.display()
    )]
    ForeignStore {
        /// Where.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// The store is shared with a group on purpose, which corten keeps no store for.
    #[error(
        "the store {} is shared with group {group}, and a store is its owner's alone: 'chmod g-s,go-rwx' makes it \
         so, or name another one with --store or CORTEN_STORE",
        path.display()
    )]
    SharedStore {
        /// Where.
        path: PathBuf,
        /// With whom.
        group: u32,
    },
}

/// Most bytes a configuration file may have.
const MAX_CONFIG: u64 = 1024 * 1024;

impl Config {
    /// Reads `path`; a missing file is an empty configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let refuse = |source| ConfigError::Read { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_CONFIG => {
                return Err(ConfigError::TooLarge { path: path.to_owned() });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(refuse(error)),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(refuse)?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_registries_by_host() {
        let text = "jobs = 2\n[registry.\"a.example:5000\"]\ninsecure = \"http\"\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.jobs, Some(2));
        assert_eq!(config.registry["a.example:5000"].insecure, Some(InsecureWord::Http));
    }

    #[test]
    fn a_registry_that_is_slow_to_answer_gets_its_time() {
        let stall = |seconds: &str| {
            let text = format!("[registry.\"a.example\"]\nstall-seconds = {seconds}\n");
            let config = toml::from_str::<Config>(&text).ok()?;
            config.registry["a.example"].stall_seconds.map(NonZeroU32::get)
        };
        assert_eq!(stall("120"), Some(120));
        assert_eq!(stall("0"), None, "no time at all is no limit that works");
    }

    #[test]
    fn token_services_are_named_by_host() {
        let text =
            "[registry.\"r.example\"]\ntoken-service = [\"git.example\", \"a.example:8443\"]\n";
        let config: Config = toml::from_str(text).unwrap();
        let named = config.registry["r.example"].token_service.clone();
        assert_eq!(named, Some(vec!["git.example".to_owned(), "a.example:8443".to_owned()]));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "stroe = 'x'").unwrap();
        let error = Config::read(&path).unwrap_err();
        assert!(error.to_string().contains("config.toml"), "{error}");
    }

    #[test]
    fn no_file_is_the_empty_configuration() {
        assert!(Config::read(Path::new("/nonexistent/corten.toml")).unwrap().store.is_none());
    }
}
