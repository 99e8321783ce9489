//! `corten unit`: a systemd unit for a container.

use clap::Args;

use super::{Context, Exit, Failure};
use crate::ops::{self, UnitOf};
use crate::output::{print, print_json};

/// Print a systemd unit that runs a container
#[derive(Args)]
#[command(after_help = "\
Examples:
  corten unit web >/etc/systemd/system/corten-web.service
  corten unit --image web -p 8080:80 registry.example.com/web:1")]
pub(super) struct UnitArgs {
    /// The container; with --image the name of one that is made anew at each start.
    container: String,
    /// What 'corten run' takes of the container: options, image, arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, requires = "image")]
    arguments: Vec<String>,
    /// Make the container of an image, as the arguments say.
    #[arg(long, requires = "arguments")]
    image: bool,
}

pub(super) fn unit(context: &Context, args: &UnitArgs, json: bool) -> Result<Exit, Failure> {
    let of = if args.image {
        super::members::check_words(&args.arguments)?;
        UnitOf::Run { name: args.container.clone(), arguments: args.arguments.clone() }
    } else {
        UnitOf::Container(args.container.clone())
    };
    let report = ops::unit(context, &of)?;
    if json {
        print_json(&report)?;
    } else {
        print(&report.text)?;
    }
    Ok(Exit::Done)
}
