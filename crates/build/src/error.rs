//! Why a build failed, and at which line.

use corten_bundle::SnapshotError;
use corten_bundle::config::RuntimeConfigError;
use corten_bundle::users::UserError;
use corten_dockerfile::{DockerfileError, ExpandError, GlobalError, LinkError, Span};
use corten_layer::LayerError;
use corten_run::RunError;
use corten_store::StoreError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The text is no Dockerfile.
    #[error("{}", at(Some(.0.span()), .0))]
    Dockerfile(DockerfileError),
    /// An argument before the first FROM has no value.
    #[error("{}", at(Some(.0.span), .0))]
    Global(GlobalError),
    /// The stages do not fit together.
    #[error("{}", at(.0.span(), .0))]
    Link(LinkError),
    /// An instruction could not be carried out.
    #[error("line {}: {instruction}", span.start.line)]
    At {
        /// Where it stands.
        span: Span,
        /// What is written there, shortened.
        instruction: String,
        /// Why.
        source: Box<StepError>,
    },
    /// What the build needs for itself.
    #[error("the build cannot begin")]
    Place(#[source] Box<StepError>),
    /// A thread of the build died.
    #[error("a thread of the build died")]
    Died,
}

fn at(span: Option<Span>, error: &impl std::fmt::Display) -> String {
    span.map_or_else(|| error.to_string(), |span| format!("line {}: {error}", span.start.line))
}

impl BuildError {
    /// Where in the Dockerfile it is.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Dockerfile(error) => Some(error.span()),
            Self::Global(error) => Some(error.span),
            Self::Link(error) => error.span(),
            Self::At { span, .. } => Some(*span),
            Self::Place(_) | Self::Died => None,
        }
    }

    /// Whether it failed because another stage did.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::At { source, .. } if matches!(**source, StepError::Cancelled))
    }

    /// The last lines of output and the exit code of the process that failed, where one did.
    pub fn process(&self) -> Option<(i32, &[String])> {
        match self {
            Self::At { source, .. } => match &**source {
                StepError::Exit { code, output } => Some((*code, output)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Why an instruction could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// It asks for what cannot be.
    #[error("{0}")]
    Refused(String),
    /// A file of this machine.
    #[error("{object}: {action} failed")]
    Io {
        /// Which.
        object: String,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A layer.
    #[error("{object}")]
    Layer {
        /// Of what.
        object: String,
        /// In what way.
        source: LayerError,
    },
    /// A root filesystem could not be made ready.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A process could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A user or a group.
    #[error(transparent)]
    User(#[from] UserError),
    /// A process cannot be described.
    #[error(transparent)]
    Config(#[from] RuntimeConfigError),
    /// A variable cannot be replaced.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A process failed.
    #[error("the process ended with exit code {code}")]
    Exit {
        /// Its exit code; 128 and the number of the signal that ended it.
        code: i32,
        /// The last lines that it wrote.
        output: Vec<String>,
    },
    /// An image or a context could not be had.
    #[error("{name} cannot be had")]
    Base {
        /// Which.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another stage failed.
    #[error("another stage failed")]
    Cancelled,
}

/// What a part of a step gives.
pub(crate) type Result<T> = std::result::Result<T, StepError>;

/// A refusal.
pub(crate) fn refused<T>(text: impl Into<String>) -> Result<T> {
    Err(StepError::Refused(text.into()))
}

/// An error of the system in the making.
pub(crate) fn failed<E: Into<std::io::Error>>(
    object: impl std::fmt::Display,
    action: &'static str,
) -> impl FnOnce(E) -> StepError {
    let object = object.to_string();
    move |source| StepError::Io { object, action, source: source.into() }
}

/// An error of a layer in the making.
pub(crate) fn of_layer(object: impl std::fmt::Display) -> impl FnOnce(LayerError) -> StepError {
    let object = object.to_string();
    move |source| StepError::Layer { object, source }
}
