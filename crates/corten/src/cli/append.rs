//! `corten append`: layers on top of an image.

use std::path::PathBuf;

use clap::Args;

use super::import::CompressionWord;
use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, AppendRequest, AppendTo, LayerInput};
use crate::output::{bytes, print, print_json};

/// Lay layers on top of an image
#[derive(Args)]
#[command(after_help = "\
A tar that is packed in gzip or zstd becomes a layer as it is, byte for byte; a plain one, or a directory, is packed. \
Each is read to its end first, as engines read layers. Signatures and attestations of the old image say nothing of \
the new one: they are left behind.

Examples:
  corten append debian:13 app.tar.gz -t app --platform linux/arm64
  tar -c -C ./out . | corten append app:1 - -t app:2
  corten append registry.example.com/team/app:1 ./site -t app:mine --platform all")]
pub(super) struct AppendArgs {
    /// The image: a name of the local store or of a registry, or any place.
    image: String,
    /// A tar (plain, gzip or zstd), a directory, or - for a tar on standard input; the lowest first.
    #[arg(required = true, value_name = "LAYER")]
    layers: Vec<PathBuf>,
    /// The new image's name in the local store [default: IMAGE].
    #[arg(long, short, value_name = "NAME")]
    tag: Option<String>,
    /// Of an index: the image for this platform alone, or all for each of them.
    #[arg(long, value_name = "PLATFORM|all")]
    platform: Option<String>,
    /// When it was made, RFC 3339 [default: $SOURCE_DATE_EPOCH, else 1970-01-01T00:00:00Z].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// How layers that are not packed are: gzip (read by everything), zstd (smaller and faster) or none.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CompressionWord::Gzip, hide_possible_values = true)]
    compression: CompressionWord,
}

pub(super) async fn append(
    context: &Context,
    args: AppendArgs,
    json: bool,
) -> Result<Exit, Failure> {
    if args.layers.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input is one layer: - can be said once".to_owned()));
    }
    let input = |path: PathBuf| match path.as_os_str() == "-" {
        true => LayerInput::Stdin,
        false => LayerInput::Path(path),
    };
    let to = match args.platform.as_deref() {
        None => AppendTo::Only,
        Some("all") => AppendTo::All,
        Some(text) => AppendTo::Platform(
            text.parse().map_err(|error| Failure::Usage(format!("--platform {text}: {error}")))?,
        ),
    };
    let request = AppendRequest {
        name: super::copy::store_name(args.tag.as_deref().unwrap_or(&args.image))?,
        image: Place::parse_bare(&args.image)?,
        layers: args.layers.into_iter().map(input).collect(),
        to,
        created: args.created,
        compression: args.compression.into(),
    };
    let report = ops::append(context, request).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let layers: String = report
        .layers
        .iter()
        .map(|layer| format!("  {} {}\n", layer.digest, bytes(layer.size)))
        .collect();
    print(&format!("store:{}\n{}\n{layers}", report.name, report.digest))?;
    for digest in &report.left_out {
        context.tell()(&format!("{digest} is no image to run: the new image leaves it out"));
    }
    Ok(Exit::Done)
}
