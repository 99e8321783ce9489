//! The images and contexts that a build begins with: asked of whoever has them.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use corten_spec::{Descriptor, DiffId, Digest, ImageConfig, Platform};
use serde::{Deserialize, Serialize};

/// A layer of an image that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltLayer {
    /// The packed layer.
    pub descriptor: Descriptor,
    /// What it unpacks to.
    pub diff_id: DiffId,
}

/// An image that is on this machine, its layers ready to run.
#[derive(Clone)]
pub struct Base {
    /// Its config.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<BuiltLayer>,
    /// The digest of its manifest, where it has one.
    pub digest: Option<Digest>,
    /// Keeps them for as long as it is held.
    pub held: Arc<dyn Any + Send + Sync>,
}

/// What `--build-context` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A directory that was made of an archive or a repository: nothing is left out, files keep their owners.
    Fetched(PathBuf),
    /// An image, in whatever words [`Bases::image`] takes.
    Image(String),
}

/// Where images come from.
pub trait Bases: Sync {
    /// The image of a name for a platform, brought to this machine and made ready.
    fn image(
        &self,
        name: &str,
        platform: &Platform,
    ) -> Result<Base, Box<dyn std::error::Error + Send + Sync>>;
}
