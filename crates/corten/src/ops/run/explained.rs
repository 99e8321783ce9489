//! `run --explain`: the runtime config that a run would have, and where each field of it comes from.

use std::fs::File;
use std::path::{Path, PathBuf};

use corten_bundle::config::Converted;
use corten_bundle::{Purpose, RootMount, Writable};
use corten_store::private;
use schemars::JsonSchema;
use serde::Serialize;

use super::RunRequest;
use super::own::locked;
use super::recipe::{self, Recipe, Site, Volumes};
use crate::ops::layers::on_thread;
use crate::ops::ready::{Ready, ready};
use crate::{Context, Failure};

/// A runtime config, explained.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExplainReport {
    /// The image.
    pub image: String,
    /// Digest of its manifest.
    pub digest: String,
    /// The runtime config, as a runtime takes it.
    pub config: serde_json::Value,
    /// Its fields, one by one.
    pub fields: Vec<ExplainedField>,
    /// What the user should know besides.
    pub notices: Vec<String>,
}

/// A field of the runtime config.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExplainedField {
    /// Its path.
    pub field: String,
    /// What it is.
    pub value: serde_json::Value,
    /// Who says so: `image`, `flag`, `default`, `root`, `host` or `specification`.
    pub source: String,
    /// What other engines do, where they differ.
    pub elsewhere: Option<String>,
}

/// Makes the image ready and tells how it would run; nothing is started and no container is made.
pub async fn explain(context: &Context, request: &RunRequest) -> Result<ExplainReport, Failure> {
    let image = ready(context, &request.look, request.pull).await?;
    let recipe = super::recipe(context, request, &image)?;
    let (shown, digest) = (image.shown.clone(), image.admitted.evidence().manifest.to_string());
    let powers = context.powers();
    let converted = on_thread("the config", move || {
        // A thread of its own has mounts of its own, which end with it.
        let made = std::thread::spawn(move || looked_at(&image, &recipe, powers)).join();
        made.map_err(|_| Failure::interrupted("the config"))?
    })
    .await?;
    report(shown, digest, converted)
}

fn looked_at(
    image: &Ready,
    recipe: &Recipe,
    powers: corten_bundle::Powers,
) -> Result<Converted, Failure> {
    let failed = |source| Failure::Io {
        object: image.shown.clone(),
        action: "making its runtime config",
        source,
    };
    let (place, _lock) = room(&recipe.store).map_err(failed)?;
    corten_engine::private_mounts().map_err(|error| failed(recipe::told(error)))?;
    let rootfs: PathBuf = place.path().join("rootfs");
    private::make_directory(&rootfs).map_err(failed)?;
    let wanted =
        RootMount { target: rootfs.clone(), writable: Writable::No, purpose: Purpose::Look };
    image.snapshots.mount(&image.stack, &wanted)?;
    let converted = {
        let volumes = Volumes::Told;
        let site = Site { directory: place.path(), rootfs: &rootfs, pod: None, volumes };
        recipe.convert("explained", site, powers, &|| false)
    };
    // Whatever comes of it, nothing may stand mounted below what is removed now.
    rustix::mount::unmount(&rootfs, rustix::mount::UnmountFlags::DETACH)
        .map_err(|errno| failed(errno.into()))?;
    converted.map_err(failed)
}

/// Where rooms of this are, below the local store.
const ROOMS: &str = ".corten/explained";

/// A directory below the store, locked while it is used. What a killed one left goes away.
fn room(store: &Path) -> std::io::Result<(tempfile::TempDir, File)> {
    let rooms = store.join(ROOMS);
    private::make_directories(&rooms)?;
    // Between its making and its lock, a new one looks like one that was left.
    let all = File::open(&rooms)?;
    rustix::fs::flock(&all, rustix::fs::FlockOperation::LockExclusive)?;
    for left in std::fs::read_dir(&rooms)? {
        let left = left?.path();
        if let Some(_lock) = locked(&left)? {
            std::fs::remove_dir_all(&left)?;
        }
    }
    let mode = private::of_directories();
    let made = tempfile::Builder::new().permissions(mode).tempdir_in(&rooms)?;
    let lock = locked(made.path())?.ok_or(std::io::ErrorKind::WouldBlock)?;
    Ok((made, lock))
}

fn report(image: String, digest: String, converted: Converted) -> Result<ExplainReport, Failure> {
    let failed = |source: serde_json::Error| Failure::Io {
        object: "the runtime config".to_owned(),
        action: "writing",
        source: source.into(),
    };
    let fields = converted.explained.iter().map(|field| ExplainedField {
        field: field.field.clone(),
        value: field.value.clone(),
        source: field.source.word().to_owned(),
        elsewhere: field.elsewhere.map(str::to_owned),
    });
    Ok(ExplainReport {
        image,
        digest,
        fields: fields.collect(),
        config: serde_json::to_value(&converted.spec).map_err(failed)?,
        notices: converted.notices,
    })
}
