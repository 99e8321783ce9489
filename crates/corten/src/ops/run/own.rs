//! The volumes of a container: those that were asked for, and those that its image announces.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corten_bundle::Powers;
use corten_bundle::config::image_volumes;
use corten_spec::ImageConfig;
use corten_store::private;
use oci_spec::runtime::Mount;
use rustix::fs::FlockOperation;

use super::recipe::{Recipe, Site, Volumes, told};
use super::seed::seed;
use super::volumes::{VolumeMount, VolumeSource};

/// Where volumes with a name are, below the local store.
pub(in crate::ops) const VOLUMES: &str = ".corten/volumes";

/// What the name of a volume in the making begins with.
pub(in crate::ops) const PART: &str = ".part-";

/// Most volumes that an image may announce.
const MAX_VOLUMES: usize = 1024;

/// The mounts of a container at its site; volumes that are missing are made.
pub(super) fn mounts(
    recipe: &Recipe,
    image: &ImageConfig,
    site: Site<'_>,
    powers: Powers,
    is_unwanted: &dyn Fn() -> bool,
) -> io::Result<Vec<Mount>> {
    let mut wanted = recipe.options.mounts.clone();
    wanted.extend(announced(image, &wanted)?);
    let mut mounts = Vec::with_capacity(wanted.len());
    for (number, volume) in wanted.iter().enumerate() {
        let place = match &volume.source {
            VolumeSource::Named(name) => Some(recipe.store.join(VOLUMES).join(name)),
            VolumeSource::Own => Some(site.directory.join("volumes").join(number.to_string())),
            VolumeSource::Pod(name) => {
                mounts.push(volume.mount(Some(&site.pod_volume(name)?)));
                continue;
            }
            VolumeSource::Bind(path) => {
                // A bind of nothing would be told by the engine, without saying whose path it is.
                std::fs::symlink_metadata(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                None
            }
            VolumeSource::Tmpfs => None,
        };
        if let Some(place) = &place
            && site.volumes == Volumes::Made
        {
            let from = (site.rootfs, volume.target.as_str());
            make_volume(place, |data| seed(from, data, powers, is_unwanted).map_err(told))?;
        }
        let data = place.map(|place| place.join("data"));
        mounts.push(volume.mount(data.as_deref()));
    }
    Ok(mounts)
}

/// The volumes of the image at whose places nothing else was asked for.
fn announced(image: &ImageConfig, asked: &[VolumeMount]) -> io::Result<Vec<VolumeMount>> {
    let Some(config) = &image.config else { return Ok(Vec::new()) };
    let volumes = image_volumes(config).map_err(told)?;
    let free = |target: &String| !asked.iter().any(|other| other.target == *target);
    let own = |target| VolumeMount {
        source: VolumeSource::Own,
        target,
        read_only: false,
        options: Vec::new(),
    };
    if volumes.paths.len() > MAX_VOLUMES {
        let number = volumes.paths.len();
        let text = format!("the image announces {number} volumes, more than {MAX_VOLUMES}");
        return Err(io::Error::other(text));
    }
    Ok(volumes.paths.into_iter().filter(free).map(own).collect())
}

/// The lock of a volume in the making; `None` where somebody has it.
pub(in crate::ops) fn locked(part: &Path) -> io::Result<Option<File>> {
    let file = File::open(part)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a volume that `fill` fills, whole or not at all; one that is there stays as it is.
pub(in crate::ops) fn make_volume(
    place: &Path,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if place.join("data").is_dir() {
        return Ok(());
    }
    private::make_directories(place)?;
    let mode = private::of_directories();
    let part = tempfile::Builder::new().prefix(PART).permissions(mode).tempdir_in(place)?;
    // While it is locked, it is somebody's; a kill lets go of it.
    let _lock = locked(part.path())?.ok_or(io::ErrorKind::WouldBlock)?;
    let data: PathBuf = part.path().join("data");
    std::fs::create_dir(&data)?;
    // What its containers see, whatever the umask; they alone come to it.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755))?;
    fill(&data)?;
    match std::fs::rename(&data, place.join("data")) {
        // Another container made the same volume meanwhile.
        Err(_) if place.join("data").is_dir() => Ok(()),
        moved => moved,
    }
}
