//! Why a snapshot could not be made, mounted or kept.

use std::io;
use std::path::PathBuf;

use corten_layer::LayerError;
use corten_spec::DiffId;

use crate::erofs::ErofsError;

/// What went wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file or directory of the snapshots.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The layer could not be read or applied.
    #[error("layer {diff_id} cannot be unpacked")]
    Layer {
        /// Which.
        diff_id: DiffId,
        /// Why.
        source: LayerError,
    },
    /// The unpacked bytes are not those that the image's config names.
    #[error("the layer unpacks to {found}, not to {diff_id} as the config says")]
    Mismatch {
        /// The DiffId of the config.
        diff_id: DiffId,
        /// The digest of what was unpacked.
        found: DiffId,
    },
    /// A layer that was to be used is not there in this form.
    #[error("layer {diff_id} is not unpacked")]
    NotReady {
        /// Which.
        diff_id: DiffId,
    },
    /// What is kept ready is not what was made.
    #[error(
        "{object} is not what was made ready: {}: {what}; 'corten store check --repair' takes it away, and it is \
         made again",
        path.display()
    )]
    Changed {
        /// Which layer, or what stands over several.
        object: String,
        /// Where it is kept.
        path: PathBuf,
        /// In what way.
        what: String,
    },
    /// The index over the layers could not be made.
    #[error("the index over the layers cannot be made")]
    Index(#[from] ErofsError),
    /// A mount was refused.
    #[error("{}: mounting {what} failed", target.display())]
    Mount {
        /// Where.
        target: PathBuf,
        /// What, as a noun.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// An [`SnapshotError::Io`] in the making.
pub(super) fn io_error(
    path: impl Into<PathBuf>,
    action: &'static str,
) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.into();
    move |source| SnapshotError::Io { path, action, source }
}
