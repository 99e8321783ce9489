//! `corten store …`: the local store as a whole.

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure};
use crate::ops::{self, StoreCheckReport};
use crate::output::{bytes, count, print, print_json};

/// Look after the local store
#[derive(Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    Check(CheckArgs),
}

/// Hash everything again: blobs, unpacked layers and their indexes
#[derive(Args)]
#[command(after_help = "\
Unpacked layers and indexes can be made again from the blobs; a corrupt blob has to be pulled again. \
Exit code 9 when something is not what it must be.

Examples:
  corten store check
  corten store check --repair")]
struct CheckArgs {
    /// Take away damaged layers and indexes; they are made again when they are needed.
    #[arg(long)]
    repair: bool,
}

pub(super) async fn store(context: &Context, args: StoreArgs, json: bool) -> Result<Exit, Failure> {
    let Word::Check(args) = args.word;
    let report = ops::store_check(context, args.repair).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.is_sound() { Exit::Done } else { Exit::Negative })
}

fn text(report: &StoreCheckReport) -> String {
    let mut text = String::new();
    for digest in &report.corrupt {
        text.push_str(&format!("corrupt  {digest}\n"));
    }
    for form in &report.damaged {
        text.push_str(&format!("damaged  {}: {}\n", form.path, form.what));
    }
    let lines = |number: usize, thing: &str, more: &str| {
        (number > 0).then(|| format!("{}{more}", count(number as u64, thing)))
    };
    let (corrupt, missing, unknown) =
        (report.corrupt.len(), report.missing.len(), report.unknown.len());
    let told: Vec<String> = [
        Some(count(report.blobs, "sound blob")),
        lines(corrupt, "corrupt blob", ""),
        lines(missing, "blob", " not here"),
        lines(unknown, "blob", " of an unknown algorithm"),
        (report.tars > 0).then(|| count(report.tars, "unpacked layer")),
        (report.indexes > 0).then(|| format!("{} with an index", count(report.indexes, "stack"))),
        (report.directories > 0)
            .then(|| format!("{} kept as a directory", count(report.directories, "layer"))),
        (report.unread > 0).then(|| {
            format!("{} kept as a directory, whose blob is not here", count(report.unread, "layer"))
        }),
        lines(report.damaged.len(), "damaged form", ""),
    ]
    .into_iter()
    .flatten()
    .collect();
    text.push_str(&format!("{}; {} read\n", told.join(", "), bytes(report.bytes)));
    text
}
