//! `corten commit`: an image of a container.

use clap::Args;

use super::import::{CompressionWord, EditArgs, told};
use super::{Context, Exit, Failure};
use crate::ops::{self, CommitRequest};

/// Make an image of what a container has become
#[derive(Args)]
#[command(after_help = "\
What the container wrote becomes one layer on its image; volumes are not part of it. It is frozen meanwhile, \
where it runs. A COMMAND is written as in a Dockerfile: a JSON array, or a text for /bin/sh -c.

Examples:
  corten commit web web:patched
  corten commit box app --entrypoint '[\"/bin/app\"]' --env MODE=production")]
pub(super) struct CommitArgs {
    /// The container.
    container: String,
    /// The image's name in the local store.
    name: String,
    #[command(flatten)]
    edit: EditArgs,
    /// When it was made, RFC 3339 [default: now].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// How the layer is packed: gzip (read by everything), zstd (smaller and faster) or none.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CompressionWord::Gzip, hide_possible_values = true)]
    compression: CompressionWord,
}

pub(super) async fn commit(
    context: &Context,
    args: CommitArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let request = CommitRequest {
        container: args.container,
        name: super::copy::store_name(&args.name)?,
        edit: args.edit.edit()?,
        created: args.created,
        compression: args.compression.into(),
    };
    told(&ops::commit(context, request).await?, json)
}
