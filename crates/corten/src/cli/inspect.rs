//! `corten inspect` and `corten tags`.

use std::fmt::Write as _;

use clap::Args;
use corten_spec::Platform;

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, ImageReport, InspectRequest, RawPart, TreeNode};
use crate::output::{bytes, print, print_bytes, print_json, tree};
use crate::plain::plain;
use corten_spec::Reference;

/// Show what an image is: platforms, config, layers; or its exact documents
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten inspect debian:13
  corten inspect --tree registry.example.com/team/app:1.0
  corten inspect --raw debian:13 | sha256sum")]
pub(super) struct InspectArgs {
    /// The image: a name of the local store or of a registry, or any other place.
    image: String,
    /// Print the manifest or index, byte for byte.
    #[arg(long, conflicts_with_all = ["config_bytes", "tree"])]
    raw: bool,
    /// Print the config of the image for the platform, byte for byte.
    #[arg(long = "image-config", conflicts_with = "tree")]
    config_bytes: bool,
    /// Draw everything that belongs to it: indexes, manifests, configs, layers, referrers.
    #[arg(long)]
    tree: bool,
    /// Which image of an index [default: this machine's platform].
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

pub(super) async fn inspect(
    context: &Context,
    args: InspectArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let place = Place::parse_bare(&args.image)?;
    if args.raw || args.config_bytes {
        let part = if args.raw { RawPart::Root } else { RawPart::Config };
        let document = ops::raw(context, &place, part, args.platform.as_ref()).await?;
        print_bytes(&document)?;
        return Ok(Exit::Done);
    }
    let request = InspectRequest { place, platform: args.platform, whole: args.tree };
    let report = ops::inspect(context, request).await?;
    if json {
        print_json(&report)?;
    } else if args.tree {
        print(&tree(&report.root, &label, &|node| node.children.iter().collect()))?;
    } else {
        print(&page(&report))?;
    }
    Ok(Exit::Done)
}

fn label(node: &TreeNode) -> String {
    let mut text = format!("{} {}", node.role, node.digest);
    if let Some(platform) = &node.platform {
        let _ = write!(text, "  {platform}");
    }
    if let Some(kind) = &node.artifact_type {
        let _ = write!(text, "  {kind}");
    }
    let _ = write!(text, "  {}", bytes(node.size));
    if !node.present {
        text.push_str("  (not here)");
    }
    text
}

fn page(report: &ImageReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:14} {}", plain(value));
        }
    };
    line("Name", &report.name);
    line("Digest", &report.root.digest);
    line("Type", &report.root.media_type);
    line("Artifact type", report.root.artifact_type.as_deref().unwrap_or_default());
    line("Platforms", &report.platforms.join(", "));
    if let Some(image) = &report.image {
        line("Image", &image.digest);
        line("Platform", &image.platform);
        line("Created", image.created.as_deref().unwrap_or_default());
        line("Author", image.author.as_deref().unwrap_or_default());
        line("User", image.user.as_deref().unwrap_or_default());
        line("Directory", image.working_dir.as_deref().unwrap_or_default());
        line("Entry point", &words(image.entrypoint.as_deref()));
        line("Command", &words(image.cmd.as_deref()));
        line("Ports", &image.exposed_ports.join(", "));
        line("Volumes", &image.volumes.join(", "));
        for variable in &image.env {
            line("Environment", variable);
        }
        for (key, value) in &image.labels {
            line("Label", &format!("{key}={value}"));
        }
        for layer in &image.layers {
            line("Layer", &format!("{}  {}", layer.digest, bytes(layer.size)));
        }
    }
    for (key, value) in &report.root.annotations {
        line("Annotation", &format!("{key}={value}"));
    }
    line("Size", &bytes(report.size));
    text
}

/// Arguments as a JSON array, the one form that needs no guessing about quotes.
fn words(arguments: Option<&[String]>) -> String {
    arguments.and_then(|arguments| serde_json::to_string(arguments).ok()).unwrap_or_default()
}

/// List the tags of a repository
#[derive(Args)]
pub(super) struct TagsArgs {
    /// The repository, such as registry.example.com/team/app.
    repository: String,
}

pub(super) async fn tags(context: &Context, args: &TagsArgs, json: bool) -> Result<Exit, Failure> {
    let text = args.repository.strip_prefix("docker://").unwrap_or(&args.repository);
    let reference = Reference::parse(text)?;
    let report = ops::tags(context, &reference).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&report.tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    }
    Ok(Exit::Done)
}
