//! `corten unpack`, `mount` and `unmount`: an image as files of this machine.

use std::path::PathBuf;

use clap::Args;
use corten_bundle::Powers;

use super::look::ImageArgs;
use super::settings::Settings;
use super::{Context, Exit, Failure};
use crate::ops::{self, Pull};
use crate::output::{bytes, count, print, print_json};

/// Mount the tree of an image, read-only
#[derive(Args)]
#[command(after_help = "\
Needs root. The layers are downloaded, verified and kept ready, and 'corten gc' leaves \
them alone as long as they are mounted.

Examples:
  corten mount debian:13 /mnt
  corten unmount /mnt")]
pub(super) struct MountArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Directory to mount on.
    target: PathBuf,
    /// When the registry is asked.
    #[arg(long, value_enum, default_value_t)]
    pull: Pull,
}

pub(super) async fn mount(context: &Context, args: MountArgs, json: bool) -> Result<Exit, Failure> {
    let request = args.image.request()?;
    let report = ops::mount(context, &request, args.pull, &args.target).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("{}\n", report.target))?;
    }
    Ok(Exit::Done)
}

/// Take away what mount mounted
#[derive(Args)]
pub(super) struct UnmountArgs {
    /// Directory it is mounted on.
    target: PathBuf,
}

pub(super) async fn unmount(
    context: &Context,
    args: &UnmountArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let report = ops::unmount(context, &args.target).await?;
    if json {
        print_json(&report)?;
    }
    Ok(Exit::Done)
}

/// Make a runtime bundle of an image, for any OCI runtime
#[derive(Args)]
#[command(after_help = "\
The bundle is a directory with rootfs, the unpacked tree, and config.json. What the options say stands \
in the config.

Examples:
  corten bundle debian:13 ./bundle
  corten oci run --bundle ./bundle first")]
pub(super) struct BundleArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Directory to make; it is missing or empty.
    target: PathBuf,
    /// Arguments for the image's program, instead of those it brings along.
    #[arg(last = true)]
    arguments: Vec<String>,
    /// Unpack as an ordinary user does.
    #[arg(long)]
    rootless: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn bundle(
    context: &Context,
    args: BundleArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let options = args.settings.options(context, &args.arguments)?;
    let request = args.image.request()?;
    let powers = if args.rootless { Powers::OneId } else { context.powers() };
    let report = ops::bundle(context, &request, &options, &args.target, powers).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let notices = report.notices.iter().map(|notice| format!("note: {notice}\n"));
    print(&format!("{}\n{}", report.tree.target, notices.collect::<String>()))?;
    Ok(Exit::Done)
}

/// Unpack an image into a directory
#[derive(Args)]
#[command(after_help = "\
The tree is that of all layers merged, with owners, modes, times, extended attributes, hard links and \
devices. Without root, or with --rootless, every file belongs to you and devices are left out; the \
report counts both.

Examples:
  corten unpack debian:13 ./rootfs
  corten unpack --rootless oci:images:app ./app")]
pub(super) struct UnpackArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Directory to make; it is missing or empty.
    target: PathBuf,
    /// Unpack as an ordinary user does.
    #[arg(long)]
    rootless: bool,
}

pub(super) async fn unpack(
    context: &Context,
    args: UnpackArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let request = args.image.request()?;
    let powers = if args.rootless { Powers::OneId } else { context.powers() };
    let report = ops::unpack(context, &request, &args.target, powers).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut text = format!("unpacked {}, {}", count(report.entries, "entry"), bytes(report.bytes));
    for (number, what) in [
        (report.foreign_owners, "of other owners are yours"),
        (report.skipped_devices, "devices left out"),
        (report.dropped_xattrs, "attributes left out"),
    ] {
        if number > 0 {
            text.push_str(&format!("; {number} {what}"));
        }
    }
    print(&format!("{text}\n"))?;
    Ok(Exit::Done)
}
