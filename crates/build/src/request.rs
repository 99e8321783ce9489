//! What a build is given besides its plan.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use corten_dockerfile::IgnoreFile;
use corten_layer::Compression;
use corten_spec::Platform;

use crate::base::NamedContext;
use crate::builds::BuildTitle;
use crate::grants::Grants;
use crate::imports::Imports;
use crate::source::Owners;

/// What times files and histories get, in seconds after 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// None is later than this: the same input gives the same bytes.
    Until(i64),
    /// Files keep theirs; what is made is of this time.
    Real(i64),
}

/// The network of processes whose RUN does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepNetwork {
    /// One of their own with a way out, or none where none can be had.
    #[default]
    Private,
    /// None.
    None,
    /// The machine's.
    Host,
}

/// What RUN may see and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub Vec<u8>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Where the directory of a context comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextKind {
    /// It is its owner's own: files belong to root once they are taken.
    #[default]
    Local,
    /// It was made of an archive or a repository: files keep their owners.
    Fetched,
}

/// What a build is given besides its plan.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// What is built for, where FROM does not say.
    pub platform: Platform,
    /// The directory that COPY and ADD take from.
    pub context: PathBuf,
    /// Where that comes from.
    pub kind: ContextKind,
    /// What of it is left out.
    pub ignore: IgnoreFile,
    /// Named contexts.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Secrets, by their ids.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Labels of the image, over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// The network of processes.
    pub network: StepNetwork,
    /// Whether every step is carried out, whatever is cached.
    pub no_cache: bool,
    /// Times.
    pub times: Times,
    /// How layers are packed.
    pub compression: Compression,
    /// Caches elsewhere.
    pub imports: Option<Arc<dyn Imports>>,
    /// How it is remembered; without it, it is not.
    pub title: Option<BuildTitle>,
    /// What steps may have besides.
    pub grants: Grants,
}

impl From<ContextKind> for Owners {
    fn from(kind: ContextKind) -> Self {
        match kind {
            ContextKind::Local => Self::Root,
            ContextKind::Fetched => Self::Keep,
        }
    }
}
