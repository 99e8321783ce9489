//! What can go wrong in the life of a container.

use crate::ContainerId;
use std::io;
use std::path::PathBuf;

/// Why a verb on a container failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No container has this id, prefix or name.
    #[error("no container {0:?}")]
    NotFound(String),
    /// More than one container begins so.
    #[error("more than one container begins with {0:?}")]
    Ambiguous(String),
    /// The name belongs to another container.
    #[error("the name {name:?} belongs to container {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: ContainerId,
    },
    /// Not a name of a container.
    #[error(
        "{0:?} is no container name: letters, digits, '_', '.', '-', the first a letter or digit"
    )]
    BadName(String),
    /// The container's state does not allow the verb.
    #[error("container {id} is {state}, so it cannot {verb}")]
    State {
        /// The container.
        id: ContainerId,
        /// Its state in a word.
        state: String,
        /// What was wanted.
        verb: &'static str,
    },
    /// The runtime refused or failed.
    #[error("runtime: {verb} {object}: {message}")]
    Runtime {
        /// What it was told to do.
        verb: &'static str,
        /// The container or the program.
        object: String,
        /// What it said.
        message: String,
        /// The exit code for it: 127 for no such program, 126 for one that cannot be run, else 125.
        code: u8,
    },
    /// A runtime binary with known holes, or one that does not say what it is.
    #[error("{path}: {found} is refused, wanted is {wanted}")]
    OldRuntime {
        /// The binary.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The monitor of the container reported a failure.
    #[error("start of container {id}: {message}")]
    Start {
        /// The container.
        id: ContainerId,
        /// The monitor's report.
        message: String,
        /// The exit code for it.
        code: u8,
    },
    /// Something did not happen in time.
    #[error("container {id} did not {verb} in time")]
    Late {
        /// The container.
        id: ContainerId,
        /// What was awaited.
        verb: &'static str,
    },
    /// A file of a container does not say what it should.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: serde_json::Error,
    },
    /// The system refused.
    #[error("{doing}")]
    Io {
        /// What was being done, with its object.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// What a verb gives.
pub(crate) type Result<T> = std::result::Result<T, RunError>;

/// Names what was being done when the system refused.
pub(crate) trait Doing<T> {
    /// Adds what was being done.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| RunError::Io { doing: doing(), source: source.into() })
    }
}

impl RunError {
    /// The exit code of a program that failed so: 127 where the container has no such program, 126 where
    /// that cannot be run, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime { code, .. } | Self::Start { code, .. } => *code,
            _ => 125,
        }
    }

    /// The error and its causes in one line, for a report that crosses a pipe.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
