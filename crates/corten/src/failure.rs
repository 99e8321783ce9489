//! Failures of a verb: what went wrong, which exit code it has, and what to do about it.

use corten_build::BuildError;
use corten_bundle::SnapshotError;
use corten_layer::LayerError;
use corten_registry::CredentialError;
use corten_run::RunError;
use corten_spec::validate::Ambiguous;
use corten_spec::{Digest, DocumentError, ReferenceError};
use corten_store::StoreError;

use crate::admission::Refusal;
use crate::{ConfigError, PlaceError};

/// Exit codes of the command; documented in the reference (`corten reference exits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// Something failed that has no code of its own.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A name, manifest, blob or file does not exist.
    NotFound = 3,
    /// Credentials are missing or not sufficient.
    Denied = 4,
    /// The image has no variant for the platform.
    NoPlatform = 5,
    /// The registry limits requests; the message says how long to wait.
    RateLimited = 6,
    /// Bytes are not what their digest, size or type says.
    Corrupt = 7,
    /// No connection.
    Unreachable = 8,
    /// The verb worked and its answer is no: findings of `validate`, differences of `diff`.
    Negative = 9,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Exit; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Denied,
        Self::NoPlatform,
        Self::RateLimited,
        Self::Corrupt,
        Self::Unreachable,
        Self::Negative,
    ];

    /// The number the process exits with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// One sentence for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Everything asked for was done.",
            Self::Failed => "Something failed that has no code of its own.",
            Self::Usage => "The command line is wrong.",
            Self::NotFound => "A name, manifest, blob or file does not exist.",
            Self::Denied => "Credentials are missing or not sufficient.",
            Self::NoPlatform => "The image has no variant for the platform asked for.",
            Self::RateLimited => "The registry limits requests; the message says how long to wait.",
            Self::Corrupt => "Bytes are not what their digest, size or type says.",
            Self::Unreachable => "No connection, or none that lasts.",
            Self::Negative => {
                "The verb worked and its answer is no: `validate` found errors, `diff` found differences."
            }
        }
    }
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A place did not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A place was written wrongly.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A document that was made or read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Credentials could not be read or kept.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A layer could not be read or written.
    #[error("{object}")]
    Layer {
        /// Which layer, of what.
        object: String,
        /// In what way.
        source: LayerError,
    },
    /// The parts of an image do not fit together.
    #[error("{image} contradicts itself: {why}")]
    Inconsistent {
        /// The image.
        image: String,
        /// In what way.
        why: &'static str,
    },
    /// A path inside an image.
    #[error("{path} not found in {image}")]
    NoPath {
        /// The path asked for.
        path: String,
        /// The image.
        image: String,
    },
    /// The request cannot be meant so.
    #[error("{0}")]
    Usage(String),
    /// A file or stream of this machine.
    #[error("{object}: {action} failed")]
    Io {
        /// Which.
        object: String,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A place did not do what was asked, and the verb knows more about it.
    #[error("{error}")]
    Advised {
        /// What went wrong.
        #[source]
        error: StoreError,
        /// What to do about it, as a sentence without a stop.
        advice: String,
    },
    /// An image could not be made ready, or a container not be run.
    #[error(transparent)]
    Container(#[from] ContainerFailure),
}

impl From<ReferenceError> for Failure {
    fn from(error: ReferenceError) -> Self {
        Self::Place(error.into())
    }
}

/// Why an image could not be made ready, or a container not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerFailure {
    /// The policy says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A layer or a stack could not be unpacked or mounted.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A container could not be made, started, or acted on.
    #[error(transparent)]
    Life(#[from] RunError),
    /// An image could not be built.
    #[error("{file}: {error}")]
    Build {
        /// The Dockerfile, as it was named.
        file: String,
        /// Why.
        #[source]
        error: Box<BuildError>,
        /// What is shown beside: the line with a caret, the last lines of output.
        shown: String,
    },
    /// A word of a build step by step could not be carried out.
    #[error("{word}")]
    Step {
        /// The word with its arguments.
        word: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// The last lines of output.
        shown: String,
    },
    /// A line of a script.
    #[error("{file}: line {line}")]
    Script {
        /// The script.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Why it failed.
        #[source]
        failure: Box<Failure>,
    },
}

impl ContainerFailure {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused(_) => Exit::Denied,
            Self::Snapshot(SnapshotError::Layer { source, .. }) => layer_exit(source),
            Self::Snapshot(SnapshotError::Mismatch { .. }) => Exit::Corrupt,
            Self::Life(RunError::NotFound(_)) => Exit::NotFound,
            Self::Script { failure, .. } => failure.exit(),
            Self::Snapshot(_) | Self::Life(_) | Self::Build { .. } | Self::Step { .. } => {
                Exit::Failed
            }
        }
    }

    /// What is shown beside the error.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Build { shown, .. } | Self::Step { shown, .. } => shown,
            Self::Script { failure, .. } => match &**failure {
                Failure::Container(inner) => inner.shown(),
                _ => "",
            },
            _ => "",
        }
    }
}

impl From<Refusal> for Failure {
    fn from(error: Refusal) -> Self {
        Self::Container(error.into())
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        Self::Container(error.into())
    }
}

impl Failure {
    /// Work on another thread that ended early.
    pub(crate) fn interrupted(what: &str) -> Self {
        let source = std::io::Error::other("the thread that did it ended early");
        Self::Io { object: what.to_owned(), action: "work", source }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Store(error) | Self::Advised { error, .. } => store_exit(error),
            Self::Place(_) | Self::Usage(_) => Exit::Usage,
            Self::Layer { source, .. } => layer_exit(source),
            Self::Document(_) | Self::Inconsistent { .. } => Exit::Corrupt,
            Self::NoPath { .. } | Self::Credential(CredentialError::NotStored(_)) => Exit::NotFound,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Exit::NotFound
            }
            Self::Container(error) => error.exit(),
            Self::Config(_) | Self::Credential(_) | Self::Io { .. } => Exit::Failed,
        }
    }

    /// The exit code of this failure where other codes are those of a process: 127 where there is no such
    /// program, 126 where it cannot be run, else 125.
    pub fn container_exit(&self) -> u8 {
        match self {
            Self::Container(ContainerFailure::Life(error)) => error.exit_code(),
            _ => 125,
        }
    }

    /// What the user can do, where there is something to say beyond the error itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => store_hint(error),
            Self::Advised { error, advice } => match store_hint(error) {
                Some(hint) => Some(format!("{advice}; {hint}")),
                None => Some(advice.clone()),
            },
            _ => None,
        }
    }
}

fn store_hint(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NotFound { object, place } if object.starts_with("tag ") => {
            Some(format!("'corten tags {place}' lists the tags there"))
        }
        StoreError::NotFound { object, place }
            if place.starts_with("oci:") && Digest::parse(object).is_ok() =>
        {
            Some(
                "an index may be there without all of its images: choose some with --platform, \
                 or pull it with --all-platforms"
                    .to_owned(),
            )
        }
        StoreError::Denied { source: Some(source), .. } if withheld(source.as_ref()).is_some() => {
            withheld(source.as_ref())
        }
        StoreError::Malformed { source, .. } if source.is::<Ambiguous>() => Some(
            "'corten validate' tells all of it; --allow-ambiguous takes it as corten reads it"
                .to_owned(),
        ),
        StoreError::Denied { place, .. } => {
            let host = place.split('/').next().unwrap_or(place);
            Some(format!("log in with 'corten login {host}', or check the name"))
        }
        StoreError::NoPlatform { .. } => {
            Some("choose one of these with --platform, or take all".to_owned())
        }
        StoreError::RateLimited { .. } => {
            Some("wait as asked, or log in: most registries allow more then".to_owned())
        }
        StoreError::Corrupt { .. } => Some(
            "the source holds or sends wrong bytes; 'corten validate' tells what is wrong"
                .to_owned(),
        ),
        StoreError::Unreachable { .. } => {
            Some("check the host and the network; --insecure http speaks plain HTTP".to_owned())
        }
        StoreError::Interrupted { .. } => {
            Some("run the same command again: it goes on where it stopped".to_owned())
        }
        _ => None,
    }
}

/// What to write where a credential was not shown to a token service on another host.
fn withheld(source: &(dyn std::error::Error + 'static)) -> Option<String> {
    match source.downcast_ref()? {
        CredentialError::Withheld { registry, service } => Some(format!(
            "if it is to have the credential, write under [registry.\"{registry}\"] of the configuration: \
             token-service = [\"{service}\"]"
        )),
        _ => None,
    }
}

/// A disk that is full and a file that may not be read say nothing about the image.
fn layer_exit(error: &LayerError) -> Exit {
    match error {
        LayerError::NotFound { .. } => Exit::NotFound,
        LayerError::Read(_)
        | LayerError::Write(_)
        | LayerError::File { .. }
        | LayerError::Changed { .. } => Exit::Failed,
        _ => Exit::Corrupt,
    }
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::NotFound { .. } => Exit::NotFound,
        StoreError::Denied { .. } => Exit::Denied,
        StoreError::NoPlatform { .. } => Exit::NoPlatform,
        StoreError::RateLimited { .. } => Exit::RateLimited,
        StoreError::Corrupt { .. } | StoreError::Malformed { .. } | StoreError::TooLarge { .. } => {
            Exit::Corrupt
        }
        StoreError::Unreachable { .. } | StoreError::Interrupted { .. } => Exit::Unreachable,
        StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Exit::NotFound
        }
        _ => Exit::Failed,
    }
}
