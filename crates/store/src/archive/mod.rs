//! An OCI image layout in one tar file: the place `oci-archive:FILE`.
//!
//! ```text
//! blobs/                          directories, where first needed
//! blobs/sha256/
//! blobs/sha256/<encoded> …        blobs as they came, then manifests and indexes by digest
//! index.json                      entries by name, then those without one
//! oci-layout
//! ```
//!
//! Reading finds the members once and then reads each where it lies; nothing is unpacked. Links,
//! devices, duplicates and paths that lead elsewhere are refused. Writing puts one blob behind the
//! other, straight into the file, which appears under its name when [`Archive::finish`] succeeds.
//! Owners and times are zero: the same images give the same bytes.

mod header;
mod listing;
mod reader;
mod writer;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MediaType, RefName};

pub use reader::MAX_SPOOL;

use crate::catalog::{self, IndexEntry, Shelf as _};
use crate::intake::{self, blocking};
use crate::{
    Begun, ByteStream, Fetcher, Ingester, Kind, Pusher, Referrers, Resolved, Resolver, Selector,
    Store, StoreError, Tagger,
};
use reader::ReadSide;
use writer::WriteSide;

/// An archive, either read or written; clones are the same one.
#[derive(Clone)]
pub struct Archive {
    side: Side,
}

#[derive(Clone)]
enum Side {
    Read(Arc<ReadSide>),
    Write(Arc<WriteSide>),
}

impl Archive {
    /// Opens an archive for reading. It must be uncompressed and hold a layout.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let side = ReadSide::open(path.as_ref())?;
        Ok(Self { side: Side::Read(Arc::new(side)) })
    }

    /// Opens an archive that comes through a pipe, read to its end first and kept in a file
    /// without a name in the directory `spool`; at most [`MAX_SPOOL`] bytes. Blocks meanwhile.
    pub fn read(from: impl Read, spool: impl AsRef<Path>) -> Result<Self, StoreError> {
        let side = ReadSide::spool(from, spool.as_ref())?;
        Ok(Self { side: Side::Read(Arc::new(side)) })
    }

    /// Starts a new archive that replaces `path` when it is finished. Where `path` is a pipe or
    /// a device, it is written as it comes.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let side = WriteSide::create(path.as_ref())?;
        Ok(Self { side: Side::Write(Arc::new(side)) })
    }

    /// Starts a new archive that goes down a pipe. A blob that fails half-way cannot be taken
    /// back there: the archive is then broken for good, and `finish` says so.
    pub fn write(to: impl Write + Send + 'static) -> Self {
        Self { side: Side::Write(Arc::new(WriteSide::write(Box::new(to)))) }
    }

    /// Ends an archive that is written: documents, `index.json`, `oci-layout`. When this succeeds
    /// the file is there, synced; an archive that is dropped before leaves nothing. Idempotent,
    /// and without effect on an archive that is read.
    pub async fn finish(&self) -> Result<(), StoreError> {
        let Side::Write(side) = &self.side else {
            return Ok(());
        };
        let side = side.clone();
        let mut output = side.output.clone().lock_owned().await;
        blocking(move || side.finish(&mut output)).await
    }

    /// What `index.json` lists, or will list.
    pub fn entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        match &self.side {
            Side::Read(side) => side.entries(),
            Side::Write(side) => Ok(side.entries()),
        }
    }

    fn writing(&self, action: &str) -> Result<&Arc<WriteSide>, StoreError> {
        match &self.side {
            Side::Write(side) => Ok(side),
            Side::Read(side) => Err(StoreError::Unsupported {
                place: side.place(),
                action: format!("{action} while it is read"),
            }),
        }
    }

    fn missing(&self, object: impl ToString) -> StoreError {
        StoreError::NotFound { object: object.to_string(), place: self.describe() }
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm_name(), digest.encoded())
}

#[async_trait]
impl Resolver for Archive {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        let document = match &self.side {
            Side::Read(side) => {
                let (side, selector) = (side.clone(), selector.clone());
                return blocking(move || catalog::resolve(&*side, &selector)).await;
            }
            Side::Write(side) => match selector {
                Selector::Name(name) => side.named(name),
                Selector::Digest(digest) => side.document(digest),
            },
        };
        let document = document.ok_or_else(|| self.missing(selector))?;
        Ok(Resolved { descriptor: document.descriptor().clone(), document: Some(document) })
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        match &self.side {
            Side::Read(side) => catalog::names(&**side),
            Side::Write(side) => Ok(side.names()),
        }
    }
}

#[async_trait]
impl Fetcher for Archive {
    async fn fetch(
        &self,
        _: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        let side = match &self.side {
            Side::Read(side) => {
                let (side, descriptor) = (side.clone(), descriptor.clone());
                return blocking(move || catalog::fetch(&*side, &descriptor, offset)).await;
            }
            Side::Write(side) => side,
        };
        if let Some(document) = side.document(&descriptor.digest) {
            return Ok(catalog::stream_of(document.bytes(), offset));
        }
        let region = side.region(&descriptor.digest)?;
        let region = region.ok_or_else(|| self.missing(&descriptor.digest))?;
        blocking(move || region.stream(offset)).await
    }

    async fn exists(&self, _: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        match &self.side {
            Side::Read(side) => {
                let region = side.region(&descriptor.digest)?;
                Ok(region.is_some_and(|region| region.len == descriptor.size))
            }
            Side::Write(side) => Ok(side.has(&descriptor.digest)),
        }
    }
}

#[async_trait]
impl Pusher for Archive {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.writing("push")?.push(document)
    }
}

#[async_trait]
impl Tagger for Archive {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        self.writing("naming")?.enter(Some(name), document)
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        if self.writing("naming")?.untag(name) { Ok(()) } else { Err(self.missing(name)) }
    }
}

#[async_trait]
impl Referrers for Archive {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        match &self.side {
            Side::Read(side) => {
                let (side, subject) = (side.clone(), subject.clone());
                let wanted = artifact_type.cloned();
                let list =
                    move || catalog::referrers(&*side, &side.facts, &subject, wanted.as_ref());
                blocking(list).await
            }
            Side::Write(side) => {
                let mut found = side.referrers(subject);
                found.retain(|descriptor| {
                    artifact_type.is_none() || descriptor.artifact_type.as_ref() == artifact_type
                });
                Ok(found)
            }
        }
    }
}

#[async_trait]
impl Ingester for Archive {
    async fn begin(&self, blob: &Descriptor, _: Option<&Location>) -> Result<Begun, StoreError> {
        let side = self.writing("ingest")?.clone();
        // One blob at a time: whoever begins waits until the one before is whole or given up.
        let output = side.output.clone().lock_owned().await;
        if side.has(&blob.digest) {
            return Ok(Begun::Present);
        }
        let part = side.part(output, blob);
        let intake = intake::start(blob, self.describe(), move || Ok(Some(part))).await?;
        Ok(intake.map_or(Begun::Present, |intake| Begun::Ingest(Box::new(intake))))
    }
}

#[async_trait]
impl Store for Archive {
    fn describe(&self) -> String {
        match &self.side {
            Side::Read(side) => side.place(),
            Side::Write(side) => side.place.clone(),
        }
    }

    async fn keep(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.writing("keeping")?.enter(None, document)
    }

    fn lanes(&self) -> usize {
        1
    }
}
