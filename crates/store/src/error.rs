//! What can go wrong with a place that holds content.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use corten_spec::Platform;

/// The cause below an error, whatever crate it comes from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what was asked. `place` is [`crate::Store::describe`], `object` a digest
/// or a name there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such name, manifest, blob or repository.
    #[error("{object} not found in {place}")]
    NotFound {
        /// What was asked for.
        object: String,
        /// Where.
        place: String,
    },
    /// Credentials are missing, wrong, or do not allow this.
    #[error("{place} denies {action}")]
    Denied {
        /// Where.
        place: String,
        /// What was asked, as a noun: `pull of team/app`.
        action: String,
        /// What the place said.
        source: Option<Cause>,
    },
    /// The place asks to come back later, and retries are used up.
    #[error("{place} limits the rate of requests{}", wait_text(*.wait))]
    RateLimited {
        /// Where.
        place: String,
        /// The wait it asked for, if it said.
        wait: Option<Duration>,
    },
    /// No connection, or none that lasts.
    #[error("{place} cannot be reached")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        source: Cause,
    },
    /// A transfer ended early; going on from where it stopped may help.
    #[error("transfer of {object} from or to {place} was interrupted")]
    Interrupted {
        /// What was transferred.
        object: String,
        /// Where.
        place: String,
        /// Why.
        source: Cause,
    },
    /// Bytes are not what their digest, size or type says.
    #[error("{object} from {place} is corrupt")]
    Corrupt {
        /// Digest or name.
        object: String,
        /// Where.
        place: String,
        /// In what way.
        source: Cause,
    },
    /// The image exists, but not for this platform.
    #[error("{object} has no image for {wanted}; there is {}", list(.available))]
    NoPlatform {
        /// Name or digest of the index.
        object: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What there is.
        available: Vec<Platform>,
    },
    /// Something larger than its named limit.
    #[error("{object} from {place} exceeds the limit of {limit} bytes for {what}")]
    TooLarge {
        /// Digest or name.
        object: String,
        /// Where.
        place: String,
        /// Name of the limit.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The place answered in a way its protocol or format does not allow.
    #[error("{place} does not follow its format or protocol at {object}")]
    Malformed {
        /// What was read.
        object: String,
        /// Where.
        place: String,
        /// In what way.
        source: Cause,
    },
    /// The place cannot do this at all.
    #[error("{place} does not support {action}")]
    Unsupported {
        /// Where.
        place: String,
        /// What was asked, as a noun.
        action: String,
    },
    /// The place refused what was sent; sending it again will not help.
    #[error("{place} refuses {object}")]
    Refused {
        /// What was sent.
        object: String,
        /// Where.
        place: String,
        /// What it said.
        source: Cause,
    },
    /// A file or directory of this machine.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether going on from where it stopped, perhaps after a wait, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("; it asks to wait {} s", wait.as_secs()))
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none with a platform".to_owned();
    }
    platforms.iter().map(Platform::to_string).collect::<Vec<_>>().join(", ")
}
