//! The context's own words: which of its files are left out.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use corten_dockerfile::{IgnoreFile, MAX_IGNORE_FILE, PatternError};

/// Why the files that are left out are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The file cannot be read.
    #[error("{}: reading failed", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pattern is none.
    #[error("{}", path.display())]
    Pattern {
        /// Of which file.
        path: PathBuf,
        /// Why.
        source: PatternError,
    },
}

/// What a context leaves out: `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` at its root.
pub fn read_ignore(context: &Path, dockerfile: Option<&Path>) -> Result<IgnoreFile, ContextError> {
    let own = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([context.join(".dockerignore")]) {
        let fault = |source| ContextError::Io { path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(fault)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_IGNORE_FILE as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
        return IgnoreFile::parse(&bytes)
            .map_err(|source| ContextError::Pattern { path: path.clone(), source });
    }
    Ok(IgnoreFile::default())
}
