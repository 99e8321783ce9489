//! `corten ls`, `cat` and `export`: what is inside an image.

use std::path::PathBuf;

use clap::Args;
use corten_spec::Platform;

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, FileEntry, LookRequest};
use crate::output::{Table, bytes, count, print, print_json};
use crate::plain::plain;

/// Which image of which place.
#[derive(Args)]
pub(super) struct ImageArgs {
    /// The image: a name of the local store or of a registry, or any other place.
    image: String,
    /// Which image of an index [default: this machine's platform].
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl ImageArgs {
    pub(super) fn request(self) -> Result<LookRequest, Failure> {
        Ok(LookRequest { place: Place::parse_bare(&self.image)?, platform: self.platform })
    }
}

/// List files of an image without unpacking it
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten ls debian:13 /etc
  corten ls -lR oci:images:debian /etc/apt")]
pub(super) struct LsArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Directory or file inside the image.
    #[arg(default_value = "/")]
    path: String,
    /// List everything below it, too.
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Show mode, owner, size, time, and the layer that each entry comes from.
    #[arg(long, short)]
    long: bool,
}

pub(super) async fn ls(context: &Context, args: LsArgs, json: bool) -> Result<Exit, Failure> {
    let request = args.image.request()?;
    let report = ops::ls(context, request, &args.path, args.recursive).await?;
    if json {
        print_json(&report)?;
    } else if args.long {
        print(&long(&report.entries))?;
    } else {
        let line = |entry: &FileEntry| format!("{}\n", plain(&entry.path));
        print(&report.entries.iter().map(line).collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn long(entries: &[FileEntry]) -> String {
    let mut table = Table::new(&["MODE", "OWNER", "SIZE", "MODIFIED", "LAYER", "PATH"]);
    for entry in entries {
        let arrow = entry.link.as_ref().map(|link| format!(" -> {link}")).unwrap_or_default();
        table.row(vec![
            format!("{}{:04o}", letter(&entry.kind), entry.mode),
            format!("{}:{}", entry.uid, entry.gid),
            bytes(entry.size),
            entry.modified.clone(),
            entry.layer.to_string(),
            format!("{}{arrow}", entry.path),
        ]);
    }
    table.render()
}

fn letter(kind: &str) -> char {
    match kind {
        "directory" => 'd',
        "symlink" => 'l',
        "hardlink" => 'h',
        "block" => 'b',
        "character" => 'c',
        "fifo" => 'p',
        _ => '-',
    }
}

/// Print a file of an image; only the layers that are needed are fetched
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten cat debian:13 /etc/os-release
  corten cat oci-archive:app.tar /etc/passwd --platform linux/arm64")]
pub(super) struct CatArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The file inside the image; symbolic links are followed inside it.
    path: String,
}

pub(super) async fn cat(context: &Context, args: CatArgs) -> Result<Exit, Failure> {
    ops::cat(context, args.image.request()?, &args.path).await?;
    Ok(Exit::Done)
}

/// Write an image's merged tree as one tar
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten export app | tar -t
  corten export debian:13 --platform linux/arm64 --output debian.tar")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// File to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn export(
    context: &Context,
    args: ExportArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let output = args.output.filter(|path| path.as_os_str() != "-");
    let to_file = output.is_some();
    let report = ops::export(context, args.image.request()?, output).await?;
    if to_file && json {
        print_json(&report)?;
    } else if to_file {
        let size = bytes(report.bytes);
        print(&format!("{}\n{}, {size}\n", report.digest, count(report.entries, "entry")))?;
    }
    Ok(Exit::Done)
}
