//! `corten edit`: another config for an image, without a context.

use std::collections::BTreeSet;

use clap::Args;

use super::import::EditArgs;
use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, ConfigCut, EditRequest};
use crate::output::{print, print_json};

/// Give an image another config, on every platform of an index
#[derive(Args)]
#[command(after_help = "\
The layers stay as they are, byte for byte. Without NAME the image of the local store gets the new config \
under its old name. Signatures and attestations of the old image say nothing of the new one: they are left behind.

Examples:
  corten edit app:1 --env MODE=production --unset-env DEBUG
  corten edit registry.example.com/team/app:1 app:mine --user 1000 --entrypoint '[\"/bin/app\"]'")]
pub(super) struct ImageEditArgs {
    /// The image: a name of the local store or of a registry, or any place.
    image: String,
    /// The new image's name in the local store [default: IMAGE].
    name: Option<String>,
    #[command(flatten)]
    edit: EditArgs,
    /// Take an environment variable away; may repeat.
    #[arg(long, value_name = "NAME")]
    unset_env: Vec<String>,
    /// Take a label away; may repeat.
    #[arg(long, value_name = "KEY")]
    unset_label: Vec<String>,
    /// Take an annotation away; may repeat.
    #[arg(long, value_name = "KEY")]
    unset_annotation: Vec<String>,
    /// Take a port away; may repeat.
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    unset_expose: Vec<String>,
    /// Take a data directory away; may repeat.
    #[arg(long, value_name = "DIR")]
    unset_volume: Vec<String>,
    /// When it was made, RFC 3339 [default: $SOURCE_DATE_EPOCH, else 1970-01-01T00:00:00Z].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
}

pub(super) async fn edit(
    context: &Context,
    args: ImageEditArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let name = super::copy::store_name(args.name.as_deref().unwrap_or(&args.image))?;
    let set = |words: Vec<String>| words.into_iter().collect::<BTreeSet<_>>();
    let request = EditRequest {
        image: Place::parse_bare(&args.image)?,
        name,
        edit: args.edit.edit()?,
        cut: ConfigCut {
            env: set(args.unset_env),
            labels: set(args.unset_label),
            annotations: set(args.unset_annotation),
            exposed_ports: set(args.unset_expose),
            volumes: set(args.unset_volume),
        },
        created: args.created,
    };
    let report = ops::edit(context, request).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    print(&format!("store:{}\n{}\n", report.name, report.digest))?;
    for digest in &report.left_out {
        context.tell()(&format!("{digest} is no image to run: the new image leaves it out"));
    }
    Ok(Exit::Done)
}
