//! What a server can be told: limits, and which parts of the protocol it offers.

use std::time::Duration;

use corten_spec::MAX_DOCUMENT;

/// Whether a part of the protocol is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not, and requests for it are answered as the specification says for that case.
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// How `Location` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locations {
    /// As a path.
    Relative,
    /// As a URL with the host the request was sent to.
    Absolute,
}

/// What a client may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most bytes of a manifest, up to [`MAX_DOCUMENT`]; more is answered by 413.
    pub manifest: u64,
    /// Most bytes of a blob; more is answered by 413.
    pub blob: u64,
    /// Most uploads under way; more is answered by 429.
    pub uploads: usize,
    /// Most connections at a time; further ones wait.
    pub connections: usize,
    /// Most entries of one page of a list.
    pub page: usize,
    /// Longest wait for the next bytes of a request.
    pub idle: Duration,
    /// How long an upload without a request is kept.
    pub upload_age: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            manifest: MAX_DOCUMENT,
            blob: 16 * 1024 * 1024 * 1024,
            uploads: 4096,
            connections: 1024,
            page: 1000,
            idle: Duration::from_secs(60),
            upload_age: Duration::from_secs(3600),
        }
    }
}

/// How a server behaves where the specification leaves a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// ServerLimits.
    pub limits: ServerLimits,
    /// The referrers API; off, it answers 404, and clients must keep the fallback tag.
    pub referrers: Switch,
    /// Deletion of manifests, tags and blobs; off, it is answered by 405.
    pub deletion: Switch,
    /// Push of a blob by one `POST`; off, it starts a session.
    pub single_post: Switch,
    /// Mounting from another repository; off, it starts a session.
    pub mounting: Switch,
    /// Manifests that refer to content which is not there; off, they are refused with
    /// `MANIFEST_BLOB_UNKNOWN`.
    pub sparse: Switch,
    /// The list of repositories; off, it is answered by 404.
    pub catalog: Switch,
    /// How `Location` is written.
    pub locations: Locations,
    /// `OCI-Chunk-Min-Length`, in bytes, where one is announced.
    pub chunk_min: Option<u64>,
    /// A text for the `Warning` header of every answer to a request for a manifest.
    pub warning: Option<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: ServerLimits::default(),
            referrers: Switch::On,
            deletion: Switch::On,
            single_post: Switch::On,
            mounting: Switch::On,
            sparse: Switch::Off,
            catalog: Switch::On,
            locations: Locations::Relative,
            chunk_min: None,
            warning: None,
        }
    }
}
