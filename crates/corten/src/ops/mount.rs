//! `mount` and `unmount`: an image's tree at a directory of this machine, read-only.
//!
//! ```text
//! <store>/.corten/mounts/<n>/mount.json    where it is, and of which layers: gc keeps them
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use corten_bundle::{Form, Purpose, RootMount, Writable};
use corten_spec::DiffId;
use corten_store::private;
use rustix::mount::{UnmountFlags, unmount as detach};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layers::on_thread;
use super::look::LookRequest;
use super::ready::{Pull, ready};
use crate::{Context, Failure};

/// An image that is mounted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MountReport {
    /// The image.
    pub image: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Where it is mounted.
    pub target: String,
    /// How its layers are kept: `index` or `directories`.
    pub form: String,
}

/// A mount that was taken away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UnmountReport {
    /// Where it was.
    pub target: String,
}

/// What `gc` must know of a mount.
#[derive(Serialize, Deserialize)]
struct Record {
    target: PathBuf,
    layers: Vec<DiffId>,
}

/// Most bytes of a record.
const MAX_RECORD: u64 = 1024 * 1024;

/// The word for a form.
pub(super) fn form_word(form: Form) -> String {
    match form {
        Form::Index => "index",
        Form::Directories => "directories",
    }
    .to_owned()
}

/// Mounts the tree of an image at `target`, a directory that is there. It stays until `unmount`.
pub async fn mount(
    context: &Context,
    request: &LookRequest,
    pull: Pull,
    target: &Path,
) -> Result<MountReport, Failure> {
    let failed = |action| {
        let object = target.display().to_string();
        move |source| Failure::Io { object, action, source }
    };
    let target = target.canonicalize().map_err(failed("opening"))?;
    if !target.is_dir() {
        return Err(Failure::Usage(format!("{} is no directory to mount on", target.display())));
    }
    let image = ready(context, request, pull).await?;
    let mounts = mounts(context)?;
    let report = MountReport {
        image: image.shown.clone(),
        digest: image.admitted.evidence().manifest.to_string(),
        target: target.display().to_string(),
        form: form_word(image.stack.form()),
    };
    on_thread("the mount", move || {
        let place = record(&mounts, &target, image.stack.diff_ids())?;
        let wanted = RootMount { target, writable: Writable::No, purpose: Purpose::Look };
        if let Err(error) = image.snapshots.mount(&image.stack, &wanted) {
            // The error of the mount is the one to tell.
            let _ = std::fs::remove_dir_all(&place);
            return Err(error.into());
        }
        Ok(report)
    })
    .await
}

/// Takes what `mount` mounted away from `target`.
pub async fn unmount(context: &Context, target: &Path) -> Result<UnmountReport, Failure> {
    let failed = |action: &'static str| {
        let object = target.display().to_string();
        move |source| Failure::Io { object, action, source }
    };
    let target = target.canonicalize().map_err(failed("opening"))?;
    let found = records(context)?.into_iter().find(|(_, record)| record.target == target);
    let Some((place, _)) = found else {
        let text = format!("{}: corten mounted nothing there", target.display());
        return Err(Failure::Usage(text));
    };
    detach(&target, UnmountFlags::NOFOLLOW).map_err(|errno| failed("unmounting")(errno.into()))?;
    std::fs::remove_dir_all(&place).map_err(failed("removal of what was noted of it"))?;
    Ok(UnmountReport { target: target.display().to_string() })
}

/// The stacks of everything that is mounted; notes of mounts that are gone go too.
pub(super) fn mounted_stacks(context: &Context) -> Result<Vec<Vec<DiffId>>, Failure> {
    let mut stacks = Vec::new();
    for (place, record) in records(context)? {
        if is_mount_point(&record.target) {
            stacks.push(record.layers);
        } else {
            // Another gc may have been faster.
            let _ = std::fs::remove_dir_all(&place);
        }
    }
    Ok(stacks)
}

fn mounts(context: &Context) -> Result<PathBuf, Failure> {
    let path = context.store()?.path().join(".corten/mounts");
    private::make_directories(&path).map_err(|source| Failure::Io {
        object: path.display().to_string(),
        action: "creation",
        source,
    })?;
    Ok(path)
}

fn record(mounts: &Path, target: &Path, layers: &[DiffId]) -> Result<PathBuf, Failure> {
    let failed = |source| Failure::Io {
        object: mounts.display().to_string(),
        action: "noting the mount",
        source,
    };
    let mut number = 0_u32;
    let place = loop {
        let place = mounts.join(number.to_string());
        match private::make_directory(&place) {
            Ok(()) => break place,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(failed(error)),
        }
    };
    let record = Record { target: target.to_owned(), layers: layers.to_vec() };
    let text = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
    private::write(&place.join("mount.json"), &text).map_err(failed)?;
    Ok(place)
}

fn records(context: &Context) -> Result<Vec<(PathBuf, Record)>, Failure> {
    use std::io::Read as _;
    let mounts = context.store()?.path().join(".corten/mounts");
    let failed =
        |source| Failure::Io { object: mounts.display().to_string(), action: "listing", source };
    let mut records = Vec::new();
    let entries = match std::fs::read_dir(&mounts) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(records),
        listing => listing.map_err(failed)?,
    };
    for entry in entries {
        let place = entry.map_err(failed)?.path();
        let mut text = Vec::new();
        let read = std::fs::File::open(place.join("mount.json"))
            .and_then(|file| file.take(MAX_RECORD).read_to_end(&mut text));
        // One that is being written now has no record yet.
        if let (Ok(_), Ok(record)) = (read, serde_json::from_slice(&text)) {
            records.push((place, record));
        }
    }
    Ok(records)
}

/// Whether something is mounted at exactly this directory.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|meta| meta.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        _ => false,
    }
}
