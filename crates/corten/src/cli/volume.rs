//! `corten volume`: the volumes with names.

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure};
use crate::ops::{self, VolumeNamesReport};
use crate::output::{Table, print, print_json};

/// Look after volumes with names
#[derive(Args)]
#[command(after_help = "\
'-v NAME:TARGET' makes a volume that is missing, with what the image has at its place. It outlives its \
containers.

Examples:
  corten volume ls
  corten volume rm data
  corten volume prune")]
pub(super) struct VolumeArgs {
    #[command(subcommand)]
    verb: VolumeVerb,
}

#[derive(Subcommand)]
enum VolumeVerb {
    Ls(ListArgs),
    Create(CreateArgs),
    Rm(RemoveArgs),
    Prune(PruneArgs),
}

/// List volumes, and the containers that mount them
#[derive(Args)]
struct ListArgs {}

/// Make empty volumes
#[derive(Args)]
struct CreateArgs {
    /// Their names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Remove volumes and what is in them
#[derive(Args)]
struct RemoveArgs {
    /// Their names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Remove all volumes that no container mounts
#[derive(Args)]
struct PruneArgs {}

impl VolumeArgs {
    /// Whether the verb removes what subordinate ids own.
    pub(super) fn needs_root(&self) -> bool {
        !matches!(self.verb, VolumeVerb::Ls(_))
    }
}

pub(super) async fn volume(
    context: &Context,
    args: VolumeArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let names = match args.verb {
        VolumeVerb::Ls(ListArgs {}) => return list(context, json).await,
        VolumeVerb::Create(args) => ops::volume_create(context, &args.names).await?,
        VolumeVerb::Rm(args) => ops::volume_remove(context, &args.names).await?,
        VolumeVerb::Prune(PruneArgs {}) => ops::volume_prune(context).await?,
    };
    told(&names, json)
}

fn told(report: &VolumeNamesReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(report)?;
    } else {
        print(&report.volumes.iter().map(|name| format!("{name}\n")).collect::<String>())?;
    }
    Ok(Exit::Done)
}

async fn list(context: &Context, json: bool) -> Result<Exit, Failure> {
    let report = ops::volumes(context).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "CONTAINERS", "DIRECTORY"]);
    for volume in report.volumes {
        table.row(vec![volume.name, volume.containers.join(","), volume.directory]);
    }
    print(&table.render())?;
    Ok(Exit::Done)
}
