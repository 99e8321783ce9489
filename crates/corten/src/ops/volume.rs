//! Volumes with names: which there are, who uses them, away with them.
//!
//! ```text
//! <store>/.corten/volumes/<name>/data      what containers see
//! <store>/.corten/volumes/<name>/.part-*   one in the making, locked by its maker
//! <store>/.corten/volumes/.gone-<n>        one on its way out
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use corten_run::Listed;
use schemars::JsonSchema;
use serde::Serialize;

use super::run::{PART, Recipe, VOLUMES, VolumeMount, VolumeSource, locked, make_volume};
use crate::{Context, Failure};

/// What a removed volume is called until it is gone; no volume's name begins with a dot.
const GONE: &str = ".gone-";

/// The volumes of the local store.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VolumesReport {
    /// By name.
    pub volumes: Vec<Volume>,
}

/// A volume with a name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// The directory that containers see.
    pub directory: String,
    /// Names of the containers that mount it, running or not.
    pub containers: Vec<String>,
}

/// Names of volumes that were made or removed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VolumeNamesReport {
    /// The names.
    pub volumes: Vec<String>,
}

/// All volumes with names.
pub async fn volumes(context: &Context) -> Result<VolumesReport, Failure> {
    let mut users = users(context)?;
    let root = root(context)?;
    let mut volumes = Vec::new();
    for name in names(&root)? {
        let directory = root.join(&name).join("data");
        // One that is being made has nothing to see yet.
        if !name.starts_with('.') && directory.is_dir() {
            let containers = users.remove(&name).unwrap_or_default();
            let directory = directory.display().to_string();
            volumes.push(Volume { name, directory, containers });
        }
    }
    Ok(VolumesReport { volumes })
}

/// Makes empty volumes; what an image has at the place of a mount does not come into them any more. One that
/// is there already stays as it is.
pub async fn volume_create(
    context: &Context,
    names: &[String],
) -> Result<VolumeNamesReport, Failure> {
    let root = root(context)?;
    for name in names {
        let place = root.join(named(name)?);
        make_volume(&place, |_| Ok(())).map_err(failed(&place, "making"))?;
    }
    Ok(VolumeNamesReport { volumes: names.to_vec() })
}

/// Removes volumes with all that is in them. One that a container mounts, running or not, is refused, and then
/// none is removed.
pub async fn volume_remove(
    context: &Context,
    names: &[String],
) -> Result<VolumeNamesReport, Failure> {
    let (root, users) = (root(context)?, users(context)?);
    for name in names {
        if !root.join(named(name)?).is_dir() {
            return Err(Failure::Usage(format!("there is no volume {name}")));
        }
        if let Some(containers) = users.get(name) {
            let containers = containers.join(", ");
            return Err(Failure::Usage(format!(
                "volume {name} is used by {containers}: remove what uses it first"
            )));
        }
    }
    names.iter().try_for_each(|name| take_away(&root, name))?;
    Ok(VolumeNamesReport { volumes: names.to_vec() })
}

/// Removes all volumes that no container mounts.
pub async fn volume_prune(context: &Context) -> Result<VolumeNamesReport, Failure> {
    let unused = volumes(context).await?.volumes.into_iter();
    let unused: Vec<String> =
        unused.filter(|volume| volume.containers.is_empty()).map(|volume| volume.name).collect();
    let root = root(context)?;
    unused.iter().try_for_each(|name| take_away(&root, name))?;
    Ok(VolumeNamesReport { volumes: unused })
}

/// Takes away what a kill left: volumes on their way out, and parts of some in the making.
pub(super) fn sweep(context: &Context) -> Result<(), Failure> {
    let root = root(context)?;
    for name in names(&root)? {
        let place = root.join(&name);
        if name.starts_with(GONE) {
            erase(&place)?;
            continue;
        }
        for part in names(&place)?.into_iter().filter(|part| part.starts_with(PART)) {
            let part = place.join(part);
            match locked(&part) {
                Ok(Some(_lock)) => erase(&part)?,
                Ok(None) => {}
                // It has its name now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&part, "locking")(error)),
            }
        }
    }
    Ok(())
}

fn root(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.store()?.path().join(VOLUMES))
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |source| Failure::Io { object, action, source }
}

fn names(directory: &Path) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed(directory, "listing"))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed(directory, "listing"))?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// A name that a volume can have.
fn named(name: &str) -> Result<&str, Failure> {
    let read = VolumeMount::parse(&format!("{name}:/volume"), Path::new("/"))?;
    match read.source {
        VolumeSource::Named(read) if read == name => Ok(name),
        _ => Err(Failure::Usage(format!("{name} is no name of a volume"))),
    }
}

/// The containers that mount each volume.
fn users(context: &Context) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let Some(containers) = context.containers_there()? else { return Ok(users) };
    for listed in corten_run::list(&containers, &|_| true)? {
        for name in mounted(&listed)? {
            let users = users.entry(name).or_default();
            if !users.contains(&listed.name) {
                users.push(listed.name.clone());
            }
        }
    }
    Ok(users)
}

fn mounted(listed: &Listed) -> Result<Vec<String>, Failure> {
    let recipe = Recipe::of(&listed.container).map_err(|source| Failure::Io {
        object: format!("container {}", listed.container.id),
        action: "reading what was asked of it",
        source,
    })?;
    let mounts = recipe.options().mounts.iter();
    let names = mounts.filter_map(|mount| match &mount.source {
        VolumeSource::Named(name) => Some(name.clone()),
        _ => None,
    });
    Ok(names.collect())
}

/// Out of its name first: what is half removed must not be taken for a volume.
fn take_away(root: &Path, name: &str) -> Result<(), Failure> {
    let place = root.join(name);
    let gone = (0..u32::MAX).map(|number| root.join(format!("{GONE}{number}")));
    for gone in gone {
        match std::fs::rename(&place, &gone) {
            Ok(()) => return erase(&gone),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) => {}
            Err(error) => return Err(failed(&place, "removing")(error)),
        }
    }
    Ok(())
}

fn erase(path: &Path) -> Result<(), Failure> {
    corten_run::erase(path).map_err(failed(path, "removing"))
}
