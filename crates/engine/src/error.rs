//! What can go wrong with a container, and in which words a stage tells it to its caller.

use std::io;
use std::path::PathBuf;

/// Why an operation on a container failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle's configuration cannot be read or breaks a rule.
    #[error("configuration {}: {detail}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The configuration asks for something this engine does not do, and which it does not leave out silently.
    #[error("not supported: {what}")]
    Unsupported {
        /// The field with its value.
        what: String,
    },
    /// The id is empty, too long or holds a character that may not stand in it.
    #[error(
        "invalid container ID {id:?}: it has an invalid character, or is empty or too long; letters, digits, _, +, - and . may stand in it, and a dot not first"
    )]
    Id {
        /// The id as given.
        id: String,
    },
    /// A container of this id exists.
    #[error("container {id} already exists")]
    Exists {
        /// The id.
        id: String,
    },
    /// No container of this id exists.
    #[error("container {id} does not exist")]
    Missing {
        /// The id.
        id: String,
    },
    /// The container is in a state which does not allow the operation.
    #[error("container {id} is {status}, wanted {wanted}")]
    Status {
        /// The id.
        id: String,
        /// Its state.
        status: String,
        /// The state the operation needs.
        wanted: &'static str,
    },
    /// The program to run is not in the container: by custom exit code 127.
    #[error("{program}: executable file not found in the container: no such file or directory")]
    NotFound {
        /// As given in `process.args[0]`.
        program: String,
    },
    /// The program to run is there and cannot be run: by custom exit code 126.
    #[error("{program}: cannot be executed: {reason}")]
    NotExecutable {
        /// As given in `process.args[0]`.
        program: String,
        /// What the kernel says, "permission denied" in most cases.
        reason: String,
    },
    /// A stage inside the container failed; its own error, in words.
    #[error("{text}")]
    Stage {
        /// What the stage said.
        text: String,
    },
    /// A hook failed or took too long.
    #[error("hook {}: {detail}", path.display())]
    Hook {
        /// The hook's program.
        path: PathBuf,
        /// How it failed.
        detail: String,
    },
    /// A control group could not be made or changed: by custom it names controller and path.
    #[error("control groups: {action} at {}: {source}", path.display())]
    Group {
        /// What was tried, with its controller.
        action: String,
        /// The group, or its file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A system call failed.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, with its object.
        action: String,
        /// What the system answered.
        source: io::Error,
    },
}

/// The result of operations on containers.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the action an I/O error belongs to.
pub(crate) trait Doing<T> {
    /// Turns the error into one of ours; `action` is asked only then.
    fn doing<A: Into<String>>(self, action: impl FnOnce() -> A) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<A: Into<String>>(self, action: impl FnOnce() -> A) -> Result<T> {
        self.map_err(|error| Error::Io { action: action().into(), source: error.into() })
    }
}

impl Error {
    /// The exit code that command lines of this field give: 127 not found, 126 not executable, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NotFound { .. } => 127,
            Error::NotExecutable { .. } => 126,
            _ => 125,
        }
    }
}
