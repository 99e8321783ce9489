//! Why an index could not be written, read or mounted.

use std::io;
use std::path::PathBuf;

use corten_layer::TreePath;

/// What went wrong with an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErofsError {
    /// The target of the bytes failed.
    #[error("writing the index failed")]
    Write(#[source] io::Error),
    /// The archive of a layer failed.
    #[error("reading the archive of layer {layer} failed")]
    Archive {
        /// The layer, 0 being the base.
        layer: usize,
        /// Why.
        source: io::Error,
    },
    /// The tree has another number of layers than there are devices, or too many for the format.
    #[error("{layers} layers and {devices} devices do not make an index")]
    Devices {
        /// Layers of the tree.
        layers: usize,
        /// Devices that were given.
        devices: usize,
    },
    /// Something of the tree is larger than the format or the kernel can say.
    #[error("{path}: {what} exceeds the limit of {limit}")]
    Limit {
        /// Where in the tree.
        path: TreePath,
        /// What is too large.
        what: &'static str,
        /// The limit itself.
        limit: u64,
    },
    /// The tree says of a file what cannot be: a content outside its archive, for one.
    #[error("{path}: {what}")]
    Tree {
        /// Where in the tree.
        path: TreePath,
        /// What is wrong.
        what: &'static str,
    },
    /// The bytes are not an index as [`crate::erofs::write`] makes it.
    #[error("not an index of ours: {what} at byte {offset}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Where it stands.
        offset: u64,
    },
    /// The index or an archive could not be opened to be mounted.
    #[error("{}: opening it to be mounted failed", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused to mount.
    #[error("mounting the index failed at {step}")]
    Mount {
        /// The step that was refused.
        step: &'static str,
        /// What the kernel said; its log may say more.
        source: io::Error,
    },
}
