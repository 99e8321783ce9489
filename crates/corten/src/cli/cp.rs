//! `corten cp`: files into containers and out of them.

use clap::Args;

use super::{Context, Exit, Failure};
use crate::ops::{self, CpEnd};
use crate::output::{bytes, count, note, print, print_json};

/// Copy files into a container or out of it
#[derive(Args)]
#[command(after_help = "\
A directory that is there gets the copy below it; DIR/. means the content of DIR. - is a tar: of a directory's \
content or of one file out of a container, and into a directory of it. Of a container that does not run, volumes \
are not seen.

Examples:
  corten cp web:/var/log/app.log .
  corten cp ./site/. web:/srv
  corten cp web:/etc - | tar t")]
pub(super) struct CpArgs {
    /// What is copied: CONTAINER:PATH, a path, or -.
    source: String,
    /// Where to: the same.
    target: String,
}

impl CpArgs {
    /// The container.
    pub(super) fn container(&self) -> &str {
        let named = |text: &'_ str| matches!(CpEnd::parse(text), CpEnd::Container(..));
        let text = if named(&self.source) { &self.source } else { &self.target };
        text.split(':').next().unwrap_or_default()
    }
}

pub(super) async fn cp(context: &Context, args: &CpArgs, json: bool) -> Result<Exit, Failure> {
    let (from, to) = (CpEnd::parse(&args.source), CpEnd::parse(&args.target));
    let to_stream = to == CpEnd::Stream;
    let report = ops::cp(context, from, to).await?;
    if !report.skipped.is_empty() {
        note(&format!("left out, as it is no file: {}", report.skipped.join(", ")));
    }
    match (report.files, report.bytes) {
        // Standard output has the tar.
        _ if to_stream => {}
        _ if json => print_json(&report)?,
        (Some(files), Some(size)) => {
            print(&format!("{}, {}\n", count(files, "file"), bytes(size)))?;
        }
        _ => {}
    }
    Ok(Exit::Done)
}
