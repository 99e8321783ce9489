//! Why there is no runtime config for an image and what the caller says.

use crate::users::UserError;

/// Why an image's config does not become a runtime config.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeConfigError {
    /// The image is not for Linux.
    #[error("the image is for '{os}', not for linux")]
    System {
        /// What it is for.
        os: String,
    },
    /// Nothing says what to run.
    #[error("the image names no program, and none was given")]
    NoCommand,
    /// The user.
    #[error("the user of the container cannot be told")]
    User(#[from] UserError),
    /// A NUL byte, which no program can be given.
    #[error("{field} contains a NUL byte")]
    Nul {
        /// The field of the runtime config.
        field: String,
    },
    /// A variable that cannot be set.
    #[error("'{name}' cannot be the name of a variable")]
    Variable {
        /// The name as given.
        name: String,
    },
    /// A volume that is no place in the root filesystem.
    #[error("the image's volume '{path}' is not a directory below the root")]
    Volume {
        /// As the image writes it.
        path: String,
    },
    /// A mount that cannot be made.
    #[error("mount at '{destination}': {reason}")]
    Mount {
        /// Where.
        destination: String,
        /// Why not.
        reason: &'static str,
    },
    /// No such capability.
    #[error("there is no capability '{name}'")]
    Capability {
        /// As given.
        name: String,
    },
    /// Two things were asked that exclude each other.
    #[error("{what} cannot be had together")]
    Contradiction {
        /// Both.
        what: String,
    },
    /// A limit that nothing can keep.
    #[error("{field} cannot be {value}: {reason}")]
    Limit {
        /// The field of the runtime config.
        field: &'static str,
        /// What was asked.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The profile of system calls cannot be read.
    #[error("the seccomp profile cannot be used")]
    Seccomp(#[from] super::ProfileError),
    /// A path that is no UTF-8, which JSON cannot say.
    #[error("a path of the runtime config is not UTF-8")]
    NotText(#[source] serde_json::Error),
}

pub(super) type Result<T> = std::result::Result<T, RuntimeConfigError>;

/// The text, if a program can be given it.
pub(super) fn without_nul<'t>(field: &str, text: &'t str) -> Result<&'t str> {
    if text.contains('\0') {
        return Err(RuntimeConfigError::Nul { field: field.to_owned() });
    }
    Ok(text)
}
