//! The last builds: which steps they had, under which keys, and how each ended. It is what `cache explain` looks at.

use std::path::Path;

use corten_spec::DiffId;
use serde::{Deserialize, Serialize};

use crate::cache::{entries, read_small, write};
use crate::error::{Result, failed};

/// Where they are, below the builder's place.
pub(crate) const BUILDS: &str = "builds";
/// How many are remembered.
const MAX_BUILDS: usize = 64;
/// Most bytes of one.
const MAX_BUILD: u64 = 4 * 1024 * 1024;

/// How a build is called by who asks for it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildTitle {
    /// The Dockerfile.
    pub file: String,
    /// Names of the image.
    pub names: Vec<String>,
}

/// A build that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastBuild {
    /// The Dockerfile.
    pub file: String,
    /// Names of the image.
    pub names: Vec<String>,
    /// The stage that became the image.
    pub target: String,
    /// What it was for.
    pub platform: String,
    /// When it began, in milliseconds after 1970.
    pub began: u64,
    /// Whether every step was to be carried out.
    pub no_cache: bool,
    /// Its steps, stage by stage.
    pub steps: Vec<PastStep>,
}

/// A step of a build that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastStep {
    /// Its stage.
    pub stage: String,
    /// The number of the stage in the Dockerfile, from 0.
    pub stage_number: usize,
    /// Its own number in the stage, from 1: that of FROM.
    pub number: usize,
    /// How many its stage has.
    pub total: usize,
    /// The line of the Dockerfile that it stands in.
    pub line: usize,
    /// The instruction, shortened.
    pub text: String,
    /// Its key, where it has one.
    pub key: Option<String>,
    /// How it ended.
    pub end: StepEnd,
    /// What names the contents of its layer, or of all layers of a base.
    pub contents: Option<String>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepEnd {
    /// It is the base of its stage.
    Base,
    /// Its layer was here.
    Cached,
    /// Its layer was in a cache elsewhere.
    Imported,
    /// It was carried out.
    Ran,
    /// It failed.
    Failed,
}

impl PastStep {
    /// What names the contents of a layer.
    pub(crate) fn contents_of(diff_id: &DiffId) -> String {
        diff_id.0.to_string()
    }
}

/// Remembers a build, and forgets the oldest ones.
pub(crate) fn remember(place: &Path, build: &PastBuild) -> Result<()> {
    let directory = place.join(BUILDS);
    corten_store::private::make_directories(&directory)
        .map_err(failed(directory.display(), "creation"))?;
    let mark = blake3::hash(format!("{}{:?}", std::process::id(), build.steps).as_bytes()).to_hex();
    let name = format!("{:015}-{}", build.began, mark.get(..12).unwrap_or_default());
    write(&directory.join(name), build)?;
    let listing = || failed(directory.display(), "listing");
    let mut all = entries(&directory).map_err(listing())?;
    all.sort_by(|a, b| b.1.cmp(&a.1));
    for (path, _) in all.into_iter().skip(MAX_BUILDS) {
        // Somebody else was faster.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// The builds that are remembered, the newest first. What cannot be read is none.
///
/// # Errors
/// Where the directory cannot be read.
pub fn kept_builds(place: &Path) -> std::io::Result<Vec<PastBuild>> {
    let mut all = entries(&place.join(BUILDS))?;
    all.sort_by(|a, b| b.1.cmp(&a.1));
    Ok(all.into_iter().filter_map(|(path, _)| read_small(&path, MAX_BUILD)).collect())
}
