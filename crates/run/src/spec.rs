//! The runtime config of a bundle, as far as the life of a container needs it.

use crate::error::{Doing, Result, RunError};
use crate::place::read_bounded;
use oci_spec::runtime::Spec;
use std::path::Path;

/// Reads `config.json`.
pub(crate) fn read(path: &Path) -> Result<Spec> {
    let bytes = read_bounded(path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|source| RunError::Damaged { path: path.to_owned(), source })
}

/// Whether the first process has a terminal.
pub(crate) fn terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
}
