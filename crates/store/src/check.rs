//! Checking what lies in a place: every blob hashed again and compared with its name.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::Arc;

use corten_spec::{Descriptor, Digest, Hasher};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::beneath::io_error;
use crate::catalog::Shelf as _;
use crate::intake::blocking;
use crate::walk::{Graph, walk};
use crate::{BlobReader, Kind, LayoutStore, Store, StoreError};

/// Bytes per read.
const CHUNK: usize = 256 * 1024;
/// Blobs read at the same time from a place of any kind.
const READS: usize = 4;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs whose content is what their name says.
    pub ok: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Blobs with another content, sorted.
    pub corrupt: Vec<Digest>,
    /// Blobs that something leads to and that are not there, sorted. Legal in a layout: a sparse
    /// index leaves out platforms, and layers may not be distributed.
    pub missing: Vec<Digest>,
    /// Blobs whose algorithm cannot be computed here, sorted.
    pub unknown: Vec<Digest>,
}

impl Checked {
    fn sort(mut self) -> Self {
        self.corrupt.sort_unstable();
        self.missing.sort_unstable();
        self.unknown.sort_unstable();
        self
    }
}

enum Found {
    Ok(u64),
    Corrupt(u64),
    Missing,
    Unknown,
}

impl Checked {
    fn add(&mut self, digest: Digest, found: Found) {
        match found {
            Found::Ok(bytes) => {
                self.ok += 1;
                self.bytes += bytes;
            }
            Found::Corrupt(bytes) => {
                self.corrupt.push(digest);
                self.bytes += bytes;
            }
            Found::Missing => self.missing.push(digest),
            Found::Unknown => self.unknown.push(digest),
        }
    }
}

/// Hashes every blob of a layout, whether something leads to it or not, and looks for what is
/// missing below the entries of `index.json`. Succeeds whatever it finds; fails when the layout
/// cannot be read.
pub async fn check(store: &LayoutStore) -> Result<Checked, StoreError> {
    let listed = {
        let store = store.clone();
        blocking(move || store.blobs()).await?
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let work = listed.iter().map(|digest| {
        let (store, digest) = (store.clone(), digest.clone());
        blocking(move || Ok((hash_again(&store, &digest)?, digest)))
    });
    let mut checked = Checked::default();
    let mut results = stream::iter(work).buffer_unordered(threads);
    while let Some((found, digest)) = results.try_next().await? {
        checked.add(digest, found);
    }
    let store = store.clone();
    drop(results);
    let corrupt: HashSet<Digest> = checked.corrupt.iter().cloned().collect();
    checked.missing = blocking(move || {
        let listed: HashSet<Digest> = listed.into_iter().collect();
        let reached = store.reach_except(&corrupt)?;
        Ok(reached.difference(&listed).cloned().collect())
    })
    .await?;
    Ok(checked.sort())
}

fn hash_again(store: &LayoutStore, digest: &Digest) -> Result<Found, StoreError> {
    let Ok(algorithm) = digest.algorithm() else {
        return Ok(Found::Unknown);
    };
    let Some(region) = store.region(digest)? else {
        return Ok(Found::Missing);
    };
    let mut file = Arc::into_inner(region.file);
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    while let Some(file) = &mut file {
        let count = std::io::Read::read(file, &mut buffer);
        let count = count.map_err(|e| io_error(&region.path, "read", e))?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        hasher.update(read);
        bytes += count as u64;
    }
    Ok(if hasher.finish() == *digest { Found::Ok(bytes) } else { Found::Corrupt(bytes) })
}

/// Reads and verifies everything below `root` in a place of any kind. A document that is missing
/// or corrupt ends the check with its error, since what is below it cannot be known.
pub async fn check_image(store: &dyn Store, root: &Descriptor) -> Result<Checked, StoreError> {
    let Graph { documents, blobs } = walk(store, root).await?;
    let mut checked = Checked::default();
    for document in &documents {
        checked.add(document.descriptor().digest.clone(), Found::Ok(document.bytes().len() as u64));
    }
    let reads = blobs.iter().map(|blob| async move { Ok((verify(store, blob).await?, blob)) });
    let mut results = stream::iter(reads).buffer_unordered(READS);
    while let Some((found, blob)) = results.try_next().await? {
        checked.add(blob.digest.clone(), found);
    }
    Ok(checked.sort())
}

async fn verify(store: &dyn Store, blob: &Descriptor) -> Result<Found, StoreError> {
    if blob.digest.algorithm().is_err() {
        return Ok(Found::Unknown);
    }
    let read = async {
        let mut reader = BlobReader::open(store, Kind::Blob, blob).await?;
        while reader.next().await?.is_some() {}
        Ok(())
    };
    match read.await {
        Ok(()) => Ok(Found::Ok(blob.size)),
        Err(StoreError::Corrupt { .. }) => Ok(Found::Corrupt(blob.size)),
        Err(StoreError::NotFound { .. }) => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}
