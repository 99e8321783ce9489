//! `corten diff`: what differs between two images.

use clap::Args;
use corten_spec::Platform;

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, DiffReport, LookRequest};
use crate::output::{print, print_json};
use crate::plain::plain;

/// Compare two images: config and files
#[derive(Args)]
#[command(after_help = "\
Either image is a name of the local store or of a registry, or any other place. \
Exits with 0 when nothing differs and with 9 when something does.

Examples:
  corten diff app:1.0 app:1.1
  corten diff --ignore-times store:app oci:build:app")]
pub(super) struct DiffArgs {
    /// The first image.
    before: String,
    /// The second image.
    after: String,
    /// Which image of an index [default: this machine's platform].
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Leave out differences of modification times.
    #[arg(long)]
    ignore_times: bool,
}

pub(super) async fn diff(context: &Context, args: DiffArgs, json: bool) -> Result<Exit, Failure> {
    let image = |text: &str| -> Result<LookRequest, Failure> {
        Ok(LookRequest { place: Place::parse_bare(text)?, platform: args.platform.clone() })
    };
    let (before, after) = (image(&args.before)?, image(&args.after)?);
    let report = ops::diff(context, before, after, args.ignore_times).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.same { Exit::Done } else { Exit::Negative })
}

fn text(report: &DiffReport) -> String {
    let mut text = String::new();
    for change in &report.config {
        let value = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string)
        };
        let (before, after) = (value(&change.before), value(&change.after));
        text.push_str(&format!("config {}: {before} -> {after}\n", plain(&change.pointer)));
    }
    for change in &report.files {
        let mark = match change.change.as_str() {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let what = change.what.join(", ");
        let what = if what.is_empty() { what } else { format!("  ({what})") };
        text.push_str(&format!("{mark} {}{what}\n", plain(&change.path)));
    }
    text
}
