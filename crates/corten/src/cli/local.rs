//! `corten images`, `tag`, `remove` and `gc`: the local store.

use std::time::Duration;

use clap::Args;

use super::words::span;
use super::{Context, Exit, Failure};
use crate::ops;
use crate::output::{Table, age, bytes, count, print, print_json};
use crate::place::StoreName;

/// List the images of the local store
#[derive(Args)]
pub(super) struct ImagesArgs {
    /// Only names that contain this text.
    #[arg(default_value = "", hide_default_value = true)]
    filter: String,
    /// Show whole digests.
    #[arg(long)]
    digests: bool,
}

pub(super) async fn images(
    context: &Context,
    args: &ImagesArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let report = ops::images(context, &args.filter).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "DIGEST", "PLATFORMS", "SIZE", "CREATED"]);
    for image in &report.images {
        let short = image.digest.split(':').nth(1).and_then(|hex| hex.get(..12));
        let digest = if args.digests { Some(image.digest.as_str()) } else { short };
        table.row(vec![
            image.name.clone().unwrap_or_else(|| "<none>".to_owned()),
            digest.unwrap_or(&image.digest).to_owned(),
            image.platforms.join(", "),
            bytes(image.size),
            image.age_seconds.map_or_else(String::new, |s| age(Duration::from_secs(s))),
        ]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}

/// Give an image of the local store another name
#[derive(Args)]
pub(super) struct TagArgs {
    /// The image: a name or a digest.
    image: String,
    /// The new name.
    name: String,
}

pub(super) async fn tag(context: &Context, args: &TagArgs, json: bool) -> Result<Exit, Failure> {
    let image = StoreName::parse(&args.image)?;
    let report = ops::tag(context, &image, &super::copy::store_name(&args.name)?).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("{}\n{}\n", report.name, report.digest))?;
    }
    Ok(Exit::Done)
}

/// Take names away from the local store; 'gc' then frees the space
#[derive(Args)]
pub(super) struct RemoveArgs {
    /// Names of images, or digests; a digest takes all of its names away.
    #[arg(required = true)]
    images: Vec<String>,
}

pub(super) async fn remove(
    context: &Context,
    args: RemoveArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let names: Result<Vec<_>, _> = args.images.iter().map(|text| StoreName::parse(text)).collect();
    let report = ops::remove(context, &names?).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&report.removed.iter().map(|name| format!("{name}\n")).collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// Delete what no image of the local store needs
#[derive(Args)]
#[command(after_help = "\
What a running corten writes is kept whatever its age. The grace is for other tools: what they wrote \
into the store a moment ago may not have its name yet.")]
pub(super) struct GcArgs {
    /// Keep what is younger than this, such as 90s, 15m, 24h or 7d.
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = span)]
    grace: Duration,
}

pub(super) async fn gc(context: &Context, args: &GcArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::gc(context, args.grace).await?;
    if json {
        print_json(&report)?;
    } else {
        let freed = bytes(report.bytes);
        let blobs = count(report.deleted.len() as u64, "blob");
        let staged = count(report.staged, "staged part");
        let young = match report.young {
            0 => String::new(),
            young => format!(", kept {} younger than the grace", count(young, "blob")),
        };
        let unpacked = match report.unpacked {
            0 => String::new(),
            forms => format!(", {}", count(forms, "unpacked form")),
        };
        let containers = match report.containers {
            0 => String::new(),
            number => format!(", {}", count(number, "container")),
        };
        print(&format!("deleted {blobs} and {staged}{unpacked}{containers}, {freed}{young}\n"))?;
    }
    Ok(Exit::Done)
}
