//! Files and repositories from elsewhere: asked of whoever reaches networks and runs git.

use std::fs::File;
use std::path::Path;

use corten_spec::Digest;

use crate::address::GitPlace;

/// A file that was fetched, whole and verified. Nobody changes it any more.
#[derive(Debug)]
pub struct RemoteFile {
    /// The file, open for reading.
    pub file: File,
    /// How many bytes it has.
    pub size: u64,
    /// What it holds.
    pub digest: Digest,
    /// When it was changed last, in seconds after 1970, where its place says so.
    pub modified: Option<i64>,
}

/// Where files and repositories come from.
///
/// Within one build the same address gives the same content, however often it is asked for.
pub trait Remotes: Sync {
    /// The file at an address of http or https. With a checksum, it is that content or an error.
    fn fetch(
        &self,
        url: &str,
        checksum: Option<&Digest>,
    ) -> Result<RemoteFile, Box<dyn std::error::Error + Send + Sync>>;

    /// The whole number of the commit that a place in a repository names now.
    fn commit(&self, place: &GitPlace) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;

    /// Writes the files of a commit into an empty directory, the place's own directory of them alone: modes as
    /// under a umask of 022, no `.git` unless it is kept.
    fn checkout(
        &self,
        place: &GitPlace,
        commit: &str,
        directory: &Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
