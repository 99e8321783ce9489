//! Where content lives: the ports every place implements, the places of this machine, and `copy`,
//! which moves any graph of manifests and blobs between any two places.

mod archive;
mod beneath;
mod catalog;
mod check;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod copy;
mod directory;
mod error;
mod intake;
mod layout;
mod memory;
mod part;
mod port;
pub mod private;
mod progress;
mod reader;
mod region;
mod retry;
mod select;
mod walk;

pub use archive::{Archive, MAX_SPOOL};
pub use catalog::{IndexEntry, MAX_LAYOUT_INDEX};
pub use check::{Checked, check, check_image};
pub use copy::{
    Ambiguity, Copied, DEFAULT_JOBS, Foreign, Request, Tally, WithReferrers, copy, copy_blobs,
};
pub use directory::Directory;
pub use error::{Cause, StoreError};
pub use layout::{Collected, LEASE_LIMIT, LayoutStore, Staged};
pub use memory::MemoryStore;
pub use port::{
    Begun, ByteStream, Fetcher, Ingest, Ingester, Kind, Pusher, Referrers, Resolved, Resolver,
    Selector, Store, Tagger,
};
pub use progress::{Event, Outcome, Progress, Silent};
pub use reader::{BlobReader, read_document, read_small};
pub use retry::MAX_ATTEMPTS;
pub use select::{Platforms, resolve_document, select};
pub use walk::{
    Child, Graph, MAX_DEPTH, MAX_DOCUMENTS, MAX_GRAPH_BYTES, children, describe_referrer, walk,
};
