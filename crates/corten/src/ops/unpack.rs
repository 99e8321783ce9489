//! `unpack`: the tree of an image as plain files.

use std::path::{Path, PathBuf};

use corten_bundle::Powers;
use corten_layer::{Applied, Limits, Root, Whiteouts};
use schemars::JsonSchema;
use serde::Serialize;

use super::layers::{layer_failure, on_thread};
use super::look::{self, LookRequest, OpenImage};
use crate::{Context, Failure};

/// What was unpacked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UnpackReport {
    /// The image.
    pub image: String,
    /// Digest of its manifest.
    pub digest: String,
    /// The directory.
    pub target: String,
    /// Entries of all layers.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Entries that belong to the caller and should belong to somebody else.
    pub foreign_owners: u64,
    /// Devices that were left out.
    pub skipped_devices: u64,
    /// Extended attributes that were left out.
    pub dropped_xattrs: u64,
}

/// Unpacks the merged tree of an image into `target`, which is missing or empty. The directory has
/// its name only when all of it is there and verified.
pub async fn unpack(
    context: &Context,
    request: &LookRequest,
    target: &Path,
    powers: Powers,
) -> Result<UnpackReport, Failure> {
    let staged = Staged::beside(target)?;
    let image = look::open(context, request).await?;
    let report = unpack_at(&image, staged.path(), powers).await?;
    staged.publish()?;
    Ok(UnpackReport { target: target.display().to_string(), ..report })
}

/// Unpacks the merged tree of an image into the directory `at`, which is empty.
pub(super) async fn unpack_at(
    image: &OpenImage,
    at: &Path,
    powers: Powers,
) -> Result<UnpackReport, Failure> {
    let stack = image.brought().await?;
    let (count, diff_ids) = (image.layers.len(), image.config.value().rootfs.diff_ids.clone());
    let (shown, place) = (image.shown.clone(), at.to_owned());
    let applied = on_thread("unpacking", move || {
        let failed = |error| layer_failure(format!("the tree of {shown}"), error);
        let applied = Root::open(&place).and_then(|root| {
            let mut source = |number| stack.open(number);
            let algorithms: Result<Vec<_>, _> =
                diff_ids.iter().map(|diff_id| diff_id.0.algorithm()).collect();
            let mut how = powers.apply(Whiteouts::Remove);
            // One that cannot be computed here is told by the comparison below.
            how.algorithms = algorithms.unwrap_or_default();
            corten_layer::unpack(&mut source, count, &root, &how, Limits::default())
        });
        let applied = applied.map_err(failed)?;
        let told = applied.layers.iter().map(|layer| &layer.diff_id);
        if !told.eq(&diff_ids) {
            let why = "a layer is not the one that its config announces";
            return Err(Failure::Inconsistent { image: shown, why });
        }
        Ok::<Applied, Failure>(applied)
    })
    .await?;
    Ok(UnpackReport {
        image: image.shown.clone(),
        digest: image.digest.to_string(),
        target: at.display().to_string(),
        entries: applied.entries,
        bytes: applied.written,
        foreign_owners: applied.foreign_owners,
        skipped_devices: applied.skipped_devices,
        dropped_xattrs: applied.dropped_xattrs,
    })
}

fn failed(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |source| Failure::Io { object: object.clone(), action, source }
}

/// A directory on its way to a name: nobody sees it there before it is whole, and nobody else comes to it, as what
/// holds it is closed.
pub(super) struct Staged {
    part: tempfile::TempDir,
    tree: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// An empty directory beside `target`, which is missing or empty.
    pub(super) fn beside(target: &Path) -> Result<Self, Failure> {
        match std::fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                let text =
                    format!("{} is not empty: unpack into a new directory", target.display());
                return Err(Failure::Usage(text));
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(target, "opening")(error));
            }
            _ => {}
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.");
        let mut builder = tempfile::Builder::new();
        let closed = builder.permissions(corten_store::private::of_directories());
        let part = closed.prefix(&prefix).suffix(".part").tempdir_in(parent);
        let part = part.map_err(failed(parent, "creation of a directory"))?;
        // What no layer says of the root; the umask narrows it, and does not open it to others' writing.
        let tree = part.path().join("tree");
        let mut builder = std::fs::DirBuilder::new();
        let builder = std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
        builder.create(&tree).map_err(failed(&tree, "creation"))?;
        Ok(Self { part, tree, target: target.to_owned() })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.tree
    }

    /// Gives it its name.
    pub(super) fn publish(self) -> Result<(), Failure> {
        std::fs::rename(&self.tree, &self.target).map_err(failed(&self.target, "rename"))?;
        // What held it is empty now.
        drop(self.part);
        Ok(())
    }
}
