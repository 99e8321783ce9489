//! `bundle`: an image as a runtime bundle (runtime-spec `bundle.md`) that any OCI runtime takes.

use std::path::Path;

use corten_bundle::Powers;
use corten_bundle::config::{image_volumes, runtime_config};
use corten_bundle::users::RootDirectory;
use corten_spec::ImageConfig;
use oci_spec::runtime::Mount;
use schemars::JsonSchema;
use serde::Serialize;

use super::look::{self, LookRequest};
use super::run::{RunOptions, VolumeSource, host, overrides, told};
use super::unpack::{Staged, UnpackReport, unpack_at};
use crate::admission::Evidence;
use crate::{Context, Failure};

/// A bundle that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BundleReport {
    /// Its root filesystem.
    #[serde(flatten)]
    pub tree: UnpackReport,
    /// What its user should know.
    pub notices: Vec<String>,
}

/// Makes the bundle `target`, a directory that is missing or empty: `config.json` and, unpacked, `rootfs`.
/// The image is admitted first, since a bundle is made to be run.
pub async fn bundle(
    context: &Context,
    request: &LookRequest,
    options: &RunOptions,
    target: &Path,
    powers: Powers,
) -> Result<BundleReport, Failure> {
    if options.init {
        let text = "--init is of corten's own runtime: a bundle is for any";
        return Err(Failure::Usage(text.to_owned()));
    }
    let staged = Staged::beside(target)?;
    let image = look::open(context, request).await?;
    context.policy().decide(Evidence {
        name: image.shown.trim_start_matches("store:").to_owned(),
        root: image.root.clone(),
        manifest: image.digest.clone(),
        config: image.config.digest().clone(),
    })?;
    let rootfs = staged.path().join("rootfs");
    let failed = |source| Failure::Io {
        object: target.display().to_string(),
        action: "making the bundle",
        source,
    };
    std::fs::create_dir(&rootfs).map_err(failed)?;
    let tree = unpack_at(&image, &rootfs, powers).await?;
    if !options.values.is_empty() {
        super::run::templates::render(&rootfs, &options.values).map_err(failed)?;
    }
    let mut wanted = overrides(options, "bundle", powers).map_err(failed)?;
    // The name of a bundle's container is its runtime's matter.
    (wanted.id, wanted.hostname) = (None, options.hostname.clone());
    wanted.mounts = mounts(options, image.config.value())?;
    let root = RootDirectory::open(&rootfs).map_err(failed)?;
    let converted = runtime_config(image.config.value(), &wanted, &host(powers), &root)
        .map_err(|error| failed(told(error)))?;
    std::fs::write(staged.path().join("config.json"), converted.bytes()).map_err(failed)?;
    staged.publish()?;
    let tree = UnpackReport { target: target.display().to_string(), ..tree };
    Ok(BundleReport { tree, notices: converted.notices })
}

/// The mounts that were asked for, and the image's volumes at places that none of them has.
fn mounts(options: &RunOptions, image: &ImageConfig) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for mount in &options.mounts {
        if !matches!(mount.source, VolumeSource::Bind(_) | VolumeSource::Tmpfs) {
            let target = &mount.target;
            let text = format!("{target}: volumes of the store are not there for other runtimes");
            return Err(Failure::Usage(text));
        }
        mounts.push(mount.mount(None));
    }
    let Some(config) = &image.config else { return Ok(mounts) };
    let volumes = image_volumes(config).map_err(|error| Failure::Io {
        object: "the volumes of the image".to_owned(),
        action: "reading",
        source: told(error),
    })?;
    let free = |path: &&String| !options.mounts.iter().any(|mount| mount.target == **path);
    mounts.extend(volumes.paths.iter().filter(free).map(|path| volume(path)));
    Ok(mounts)
}

/// A volume of the image that nobody gave a place: in memory, as long as the container is there.
fn volume(path: &str) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(path.into()).set_typ(Some("tmpfs".to_owned()));
    mount.set_source(Some("tmpfs".into()));
    let options = ["rw", "nosuid", "nodev", "noexec", "tmpcopyup"];
    mount.set_options(Some(options.map(str::to_owned).to_vec()));
    mount
}
