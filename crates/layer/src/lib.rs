//! Layer archives: read, list, pack, merge; compression.
//!
//! A layer is a tar, perhaps compressed, that says what changes against the layers below it:
//!
//! ```text
//! packed bytes  --Decoder-->  tar  --Tar-->  Entry, content  --Whiteout-->  change of the tree
//!  (digest)                (DiffId)
//! ```
//!
//! Everything is plain synchronous code over [`std::io::Read`] and [`std::io::Write`]. Nothing here
//! knows manifests, stores or registries. Foreign bytes are bounded by [`Limits`], and an archive
//! that two honest readers could understand differently is refused with a [`LayerRule`].

mod audit;
mod compression;
mod decoder;
mod diff_reader;
mod entry;
mod error;
mod gzip;
mod limits;
mod pack;
mod pack_directory;
mod pack_tar;
mod packer;
mod path;
mod rule;
mod stream_hash;
mod tar;
mod whiteout;
mod writer;

pub use audit::{Audit, MAX_PROBLEMS, Problem, audit, list};
pub use compression::{Compression, MAGIC_BYTES};
pub use decoder::{Decoder, MAX_WINDOW_LOG};
pub use diff_reader::{DiffReader, Unpacked};
pub use entry::{Attributes, Device, Entry, EntryKind, Extent, Mtime};
pub use error::{LayerError, Place};
pub use limits::Limits;
pub use pack::{Owner, PackOptions, PackedTree, Precision, RootEntry, XattrChoice};
pub use pack_directory::pack_directory;
pub use pack_tar::{pack_tar, spool_tar};
pub use packer::{Packed, Packer, Packing};
pub use path::TreePath;
pub use rule::LayerRule;
pub use tar::Tar;
pub use whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX, Whiteout};
pub use writer::TarWriter;
