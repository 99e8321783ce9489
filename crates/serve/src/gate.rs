//! The gate: whether a manifest may be in a repository, asked before it is stored.

use async_trait::async_trait;
use corten_registry::wire::{Refused, Repository};
use corten_spec::AnyDocument;

/// Decides what may be pushed.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Succeeds when `document`, which is well-formed and whose content is there, may be stored in
    /// `repository`; otherwise says why, in words for the outside.
    async fn admit(&self, repository: &Repository, document: &AnyDocument) -> Result<(), Refused>;
}

/// Lets everything in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

#[async_trait]
impl Gate for AdmitAll {
    async fn admit(&self, _: &Repository, _: &AnyDocument) -> Result<(), Refused> {
        Ok(())
    }
}
