//! `corten copy`, `pull` and `push`.

use clap::Args;
use corten_spec::Platform;

use super::{Context, Exit, Failure};
use crate::ops::{self, CopyReport, CopyRequest, PlatformChoice};
use crate::output::{bytes, print, print_json};
use crate::place::ref_name;
use crate::{Place, PlaceError};
use corten_spec::Reference;

/// Which platforms of an index travel.
#[derive(Args)]
struct PlatformArgs {
    /// Only this platform, as linux/arm64; may repeat. The index stays byte-identical, only
    /// these of its images travel.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Vec<Platform>,
    /// With one --platform: take its manifest alone, without the index.
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
    /// Take along what refers to the image: signatures, SBOMs, attestations, and what refers to
    /// them; old-style sha256-….sig tags too.
    #[arg(long)]
    referrers: bool,
    /// Take along layers that are marked as not to be distributed.
    #[arg(long)]
    foreign: bool,
}

/// Copy an image, byte for byte, from any place to any other
#[derive(Args)]
#[command(after_help = "Examples:
  corten copy debian:13 oci:images:debian
  corten copy oci-archive:app.tar registry.example.com/app:1 --referrers
  corten copy a.example.com/app:1 b.example.com/app:1 --platform linux/arm64
  corten copy store:app - | ssh host corten copy - store:app")]
pub(super) struct CopyArgs {
    /// The place to copy from.
    source: String,
    /// The place to copy to.
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
    let silent = request.target.is_standard_stream();
    let report = ops::copy(context, request).await?;
    if silent { Ok(Exit::Done) } else { show(&report, json) }
}

/// Copy an image from a registry into the local store
#[derive(Args)]
#[command(
    after_help = "The index keeps its digest; without --platform or --all-platforms only the image for \
this machine's platform is fetched."
)]
pub(super) struct PullArgs {
    /// The image: a reference, or any other place.
    image: String,
    /// Name in the local store [default: the reference].
    name: Option<String>,
    #[command(flatten)]
    platforms: PlatformArgs,
    /// Every platform.
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
pub(super) struct PushArgs {
    /// The image's name in the local store.
    image: String,
    /// Where to: a reference, or any other place [default: the image's own name].
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
        Self::Store(crate::place::StoreName::Reference(reference))
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
            "{} manifests, {blobs} blobs sent ({sent}), {there} were there",
            report.manifests
        ));
        if report.referrers > 0 {
            text.push_str(&format!(", {} referrers", report.referrers));
        }
        print(&format!("{text}\n"))?;
    }
    Ok(Exit::Done)
}
