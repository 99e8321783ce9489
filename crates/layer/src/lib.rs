//! Layer archives: read, list, pack, merge, apply; compression.
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

mod apart;
mod apply;
mod audit;
mod change;
mod compression;
mod copy_file;
mod copy_tree;
mod decoder;
mod diff_reader;
mod entry;
mod error;
mod export;
mod foreign;
mod gzip;
mod join;
mod layer_changes;
mod layer_reader;
mod limits;
mod merged;
mod pack;
mod pack_directory;
mod pack_tar;
mod packer;
mod path;
mod plain_reader;
mod resolve;
mod rule;
mod seen;
mod stack;
mod stream_hash;
mod tar;
mod upper;
mod whiteout;
mod writer;

pub use apart::{Given, ReaderProcess, Starter, read_apart, serve};
pub use apply::{
    Applied, Apply, Devices, IdRange, Owners, Root, Whiteouts, apply, complete, unpack,
};
pub use audit::{Audit, MAX_PROBLEMS, Problem, audit, audit_each, list};
pub use change::{Aspect, Change, ChangeKind, changes};
pub use compression::{Compression, MAGIC_BYTES};
pub use copy_file::{CopyBounds, copy_file, write_sparse};
pub use copy_tree::{CopiedTree, CopyOwners, CopyTree, copy_tree};
pub use decoder::{Decoder, MAX_WINDOW_LOG};
pub use diff_reader::{DiffReader, Unpacked};
pub use entry::{Attributes, Device, Entry, EntryKind, Extent, Mtime};
pub use error::{EntryPosition, LayerError};
pub use export::export;
pub use foreign::ForeignPacking;
pub use join::join;
pub use layer_changes::Contents;
pub use layer_reader::LayerReader;
pub use limits::Limits;
pub use merged::{LayerSource, Merged, Node, copy_content};
pub use pack::{Marks, Owner, PackOptions, PackedTree, Precision, RootEntry, XattrChoice};
pub use pack_directory::pack_directory;
pub use pack_tar::{pack_tar, spool_tar};
pub use packer::{Packed, Packer, Packing};
pub use path::TreePath;
pub use plain_reader::{PlainArchive, PlainReader};
pub use resolve::MAX_SYMLINKS;
pub use rule::LayerRule;
pub use seen::read_attributes;
pub use stack::Stack;
pub use tar::Tar;
pub use whiteout::{OPAQUE_MARKER, WHITEOUT_PREFIX, Whiteout};
pub use writer::TarWriter;
