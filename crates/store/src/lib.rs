//! Where content lives: the ports every place implements, the places of this machine, and `copy`,
//! which moves any graph of manifests and blobs between any two places.

mod error;
mod port;
mod progress;
mod reader;

pub use error::{Cause, StoreError};
pub use port::{
    Begun, ByteStream, Fetcher, Ingest, Ingester, Kind, Pusher, Referrers, Resolved, Resolver,
    Selector, Store, Tagger,
};
pub use progress::{Event, Outcome, Progress, Silent};
pub use reader::{BlobReader, read_document, read_small};
