//! `corten copy`, `pull` and `push`.

use clap::Args;
use corten_spec::Platform;

use super::{Context, Exit, Failure};
use crate::ops::{self, CopyReport, CopyRequest, PlatformChoice};
use crate::output::{bytes, count, print, print_json};
use crate::place::{StoreName, ref_name};
use crate::{Place, PlaceError};
use corten_spec::Reference;

/// Which platforms of an index travel.
#[derive(Args)]
struct PlatformArgs {
    /// Take only the image for this platform, such as linux/arm64; may repeat.
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
    /// With one --platform: take that image alone, without its index.
    #[arg(long, requires = "platform")]
    no_index: bool,
}

impl PlatformArgs {
    fn choice(&self, otherwise: PlatformChoice) -> Result<PlatformChoice, Failure> {
        match (self.platform.as_slice(), self.no_index) {
            ([], _) => Ok(otherwise),
            ([platform], true) => Ok(PlatformChoice::One(platform.clone())),
            (_, true) => {
                Err(Failure::Usage("--no-index goes with exactly one --platform".to_owned()))
            }
            (platforms, false) => Ok(PlatformChoice::Some(platforms.to_vec())),
        }
    }
}

/// What travels beside the image.
#[derive(Args)]
struct CompanyArgs {
    /// Take along what refers to the image: signatures, SBOMs, attestations.
    #[arg(long)]
    referrers: bool,
    /// Take layers that are not to be distributed from their URLs, where the source lacks them.
    #[arg(long)]
    foreign: bool,
}

/// Copy an image, byte for byte, from any place to any other
#[derive(Args)]
#[command(after_help = "\
A bare name is on a registry; store:NAME is the local store. An index travels with all its images; \
with --platform its bytes and digest stay the same, and only the chosen images travel. \
--referrers takes along what refers to the referrers too, and older tags such as sha256-….sig.

Examples:
  corten copy debian:13 oci:images:debian
  corten copy oci-archive:app.tar registry.example.com/app:1 --referrers
  corten copy a.example.com/app:1 b.example.com/app:1 --platform linux/arm64
  corten copy store:app - | ssh host corten copy - store:app")]
pub(super) struct CopyArgs {
    /// Where to copy from: any place.
    source: String,
    /// Where to copy to: any place.
    target: String,
    #[command(flatten)]
    platforms: PlatformArgs,
    #[command(flatten)]
    company: CompanyArgs,
}

pub(super) async fn copy(context: &Context, args: CopyArgs, json: bool) -> Result<Exit, Failure> {
    let request = CopyRequest {
        source: Place::parse(&args.source)?,
        target: Place::parse(&args.target)?,
        platforms: args.platforms.choice(PlatformChoice::All)?,
        referrers: args.company.referrers,
        foreign: args.company.foreign,
    };
    advise(context, &request.source, &args.source).await;
    let silent = request.target.is_standard_stream();
    let report = ops::copy(context, request).await?;
    if silent { Ok(Exit::Done) } else { show(&report, json) }
}

/// `copy` takes a bare name for a registry's; where the local store has it too, it may have been
/// meant, and somebody whose registry fails is told how to say so.
async fn advise(context: &Context, source: &Place, written: &str) {
    if let Place::Registry(reference) = source {
        let written = written.trim_start_matches("docker://");
        if context.store_has(&StoreName::Reference(reference.clone())).await {
            let sentence = format!("the local store has this image: write store:{written}");
            context.advice().add(reference.name.host(), sentence);
        }
    }
}

/// Copy an image from a registry into the local store
#[derive(Args)]
#[command(
    after_help = "Of an index, the image for this machine's platform is taken, unless --platform or \
--all-platforms says otherwise. The index itself comes along unchanged, with its digest.

Examples:
  corten pull debian:13
  corten pull --all-platforms --referrers registry.example.com/team/app:1.0
  corten pull oci-archive:app.tar team/app:1.0"
)]
pub(super) struct PullArgs {
    /// The image: a reference on a registry, or any other place.
    image: String,
    /// Name in the local store [default: the reference].
    name: Option<String>,
    #[command(flatten)]
    platforms: PlatformArgs,
    /// Take the images for every platform.
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    #[command(flatten)]
    company: CompanyArgs,
}

pub(super) async fn pull(context: &Context, args: PullArgs, json: bool) -> Result<Exit, Failure> {
    let source = Place::parse(&args.image)?;
    let name = match (&args.name, &source) {
        (Some(name), _) => Reference::parse(name)?,
        (None, Place::Registry(reference)) => reference.clone(),
        (None, _) => {
            let text =
                "pull from another place than a registry needs a name: corten pull PLACE NAME";
            return Err(Failure::Usage(text.to_owned()));
        }
    };
    let otherwise = if args.all_platforms { PlatformChoice::All } else { PlatformChoice::Here };
    let request = CopyRequest {
        source,
        target: Place::store(name),
        platforms: args.platforms.choice(otherwise)?,
        referrers: args.company.referrers,
        foreign: args.company.foreign,
    };
    show(&ops::copy(context, request).await?, json)
}

/// Copy an image from the local store to a registry
#[derive(Args)]
#[command(after_help = "\
What the registry has is not sent. An index is pushed with all of its images: where the store holds \
only some of them, name those with --platform.

Examples:
  corten push registry.example.com/team/app:1.0
  corten push app registry.example.com/team/app:1.0 --referrers")]
pub(super) struct PushArgs {
    /// The image's name in the local store.
    image: String,
    /// Where to: a reference on a registry, or any other place [default: the image's own name].
    target: Option<String>,
    #[command(flatten)]
    platforms: PlatformArgs,
    #[command(flatten)]
    company: CompanyArgs,
}

pub(super) async fn push(context: &Context, args: PushArgs, json: bool) -> Result<Exit, Failure> {
    let source = match Place::parse_bare(&args.image)? {
        Place::Bare(name) => Place::Store(name),
        other => other,
    };
    let target = match &args.target {
        Some(target) => Place::parse(target)?,
        None => Place::parse(&args.image)?,
    };
    let request = CopyRequest {
        source,
        target,
        platforms: args.platforms.choice(PlatformChoice::All)?,
        referrers: args.company.referrers,
        foreign: args.company.foreign,
    };
    let silent = request.target.is_standard_stream();
    let report = ops::copy(context, request).await?;
    if silent { Ok(Exit::Done) } else { show(&report, json) }
}

impl Place {
    fn store(reference: Reference) -> Self {
        Self::Store(StoreName::Reference(reference))
    }
}

/// Checks a name for the local store early, so that a wrong one is a wrong command line.
pub(super) fn store_name(text: &str) -> Result<corten_spec::RefName, Failure> {
    let reference = Reference::parse(text)?;
    Ok(ref_name(&reference).map_err(PlaceError::from)?)
}

fn show(report: &CopyReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(report)?;
    } else {
        let (blobs, sent) = (report.blobs_copied, bytes(report.bytes_copied));
        let there = report.blobs_present + report.blobs_mounted;
        let mut text = format!("{}\n{}\n", report.target, report.digest);
        text.push_str(&format!(
            "{}, {} sent ({sent}), {there} already there",
            count(report.manifests, "manifest"),
            count(blobs, "blob"),
        ));
        if report.referrers > 0 {
            text.push_str(&format!(", {}", count(report.referrers, "referrer")));
        }
        print(&format!("{text}\n"))?;
    }
    Ok(Exit::Done)
}
