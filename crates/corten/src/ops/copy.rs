//! Copying an image between two places, whole and byte for byte.

use corten_spec::Platform;
use corten_store::{Foreign, Platforms, Request, WithReferrers};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Context, Failure, Place};

/// Which images of an index are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformChoice {
    /// All of them.
    All,
    /// The one for this machine; the index travels unchanged.
    Here,
    /// These; the index travels unchanged.
    Some(Vec<Platform>),
    /// One, without its index.
    One(Platform),
}

/// What to copy where.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// The place to copy from.
    pub source: Place,
    /// The place to copy to.
    pub target: Place,
    /// Which images of an index.
    pub platforms: PlatformChoice,
    /// Whether what refers to the image travels too.
    pub referrers: bool,
    /// Whether layers not to be distributed must travel too; otherwise they do where the source
    /// has them.
    pub foreign: bool,
}

/// What a copy did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CopyReport {
    /// The place copied from.
    pub source: String,
    /// The place copied to.
    pub target: String,
    /// Digest of the manifest or index, the same on both sides.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Manifests and indexes that were copied or there.
    pub manifests: u64,
    /// Manifests and indexes that refer to others, among them.
    pub referrers: u64,
    /// Blobs that were sent.
    pub blobs_copied: u64,
    /// Blobs that the target had.
    pub blobs_present: u64,
    /// Blobs that the target took from another of its repositories.
    pub blobs_mounted: u64,
    /// Bytes of the blobs that were sent.
    pub bytes_copied: u64,
    /// Layers not to be distributed that were left out.
    pub blobs_skipped: u64,
}

/// Copies an image. Success means: every manifest and blob that belongs to the request is at the
/// target, each was verified, and the target's name points at the same digest as the source's.
pub async fn copy(context: &Context, request: CopyRequest) -> Result<CopyReport, Failure> {
    let source = context.source(&request.source).await?;
    let target = context.target(&request.target, &source).await?;
    let platforms = match request.platforms {
        PlatformChoice::All => Platforms::All,
        PlatformChoice::Here => Platforms::Some(vec![context.platform()]),
        PlatformChoice::Some(platforms) => Platforms::Some(platforms),
        PlatformChoice::One(platform) => Platforms::One(platform),
    };
    let copied = corten_store::copy(Request {
        from: source.store.clone(),
        to: target.store.clone(),
        root: source.selector.clone(),
        names: target.names.clone(),
        platforms,
        referrers: if request.referrers { WithReferrers::Yes } else { WithReferrers::No },
        foreign: if request.foreign { Foreign::Require } else { Foreign::IfPresent },
        ambiguity: context.ambiguity(),
        jobs: context.jobs(),
        progress: context.progress(),
    })
    .await?;
    let shown = target.shown.clone();
    target.finish().await?;
    Ok(CopyReport {
        source: source.shown,
        target: shown,
        digest: copied.root.digest.to_string(),
        media_type: copied.root.media_type.to_string(),
        size: copied.root.size,
        manifests: copied.manifests,
        referrers: copied.referrers,
        blobs_copied: copied.sent.count,
        blobs_present: copied.present.count,
        blobs_mounted: copied.mounted.count,
        bytes_copied: copied.sent.bytes,
        blobs_skipped: copied.skipped.count,
    })
}
