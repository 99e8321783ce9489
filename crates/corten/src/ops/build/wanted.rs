//! What is asked of `build`, in words.

use std::collections::BTreeMap;
use std::path::PathBuf;

use corten_build::StepNetwork;
use corten_layer::Compression;
use corten_spec::{Platform, RefName};

use super::super::cache::{CachePlace, CacheTo};
use super::super::ready::Pull;
use super::{AttestWords, BuildOutput, FetchedContext, GrantWords};

/// A context by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextWord {
    /// A directory.
    Directory(PathBuf),
    /// An image at a place.
    Image(String),
    /// An archive or a repository elsewhere.
    Address(String),
    /// The directory that was made of one.
    Fetched(PathBuf),
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretWord {
    /// In a file.
    File(PathBuf),
    /// In a variable of this process.
    Variable(String),
}

/// The network of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StepWord {
    /// One of their own with a way out, where one can be had.
    #[default]
    Default,
    /// None.
    None,
    /// The machine's.
    Host,
}

impl From<StepWord> for StepNetwork {
    fn from(word: StepWord) -> Self {
        match word {
            StepWord::Default => Self::Private,
            StepWord::None => Self::None,
            StepWord::Host => Self::Host,
        }
    }
}

/// What is asked of `build`.
#[derive(Clone, Debug)]
pub struct BuildWanted {
    /// The directory of the context; before [`fetch_context`] also an address, or `-` for standard input.
    pub context: PathBuf,
    /// The Dockerfile; that of the context if absent. `-` is standard input.
    pub file: Option<PathBuf>,
    /// Names of the image in the local store.
    pub tags: Vec<RefName>,
    /// Build arguments; one without a value has that of the environment.
    pub args: Vec<(String, Option<String>)>,
    /// The stage to build.
    pub target: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is built for; this machine's platform if there is none. Several become an index.
    pub platforms: Vec<Platform>,
    /// Whether every step is carried out.
    pub no_cache: bool,
    /// When registries are asked.
    pub pull: Pull,
    /// The network of steps.
    pub network: StepWord,
    /// Named contexts.
    pub contexts: BTreeMap<String, ContextWord>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretWord>,
    /// Whether times are those of the clock.
    pub real_times: bool,
    /// How layers are packed.
    pub compression: Compression,
    /// Where the image goes besides the local store.
    pub outputs: Vec<BuildOutput>,
    /// What is attested of the image.
    pub attest: AttestWords,
    /// What steps may have besides.
    pub grants: GrantWords,
    /// What [`fetch_context`] made the context of.
    pub fetched: Option<FetchedContext>,
    /// Most bytes that the builder's cache has after it; what the configuration says if absent.
    pub cache_max: Option<u64>,
    /// Where its cache goes.
    pub cache_to: Vec<CacheTo>,
    /// Caches that it takes from.
    pub cache_from: Vec<CachePlace>,
}

impl BuildWanted {
    /// What is asked of a build where nothing but the context is said.
    pub fn of(context: PathBuf) -> Self {
        Self {
            context,
            file: None,
            tags: Vec::new(),
            args: Vec::new(),
            target: None,
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            no_cache: false,
            pull: Pull::Missing,
            network: StepWord::Default,
            contexts: BTreeMap::new(),
            secrets: BTreeMap::new(),
            real_times: false,
            compression: Compression::Gzip,
            outputs: Vec::new(),
            attest: AttestWords::default(),
            grants: GrantWords::default(),
            fetched: None,
            cache_max: None,
            cache_to: Vec::new(),
            cache_from: Vec::new(),
        }
    }
}
