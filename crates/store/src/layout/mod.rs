//! An OCI image layout in a directory (image-spec `image-layout.md`): the place `oci:DIR`, and the
//! local store. Other tools may read and write it while corten does.
//!
//! ```text
//! DIR/
//! ├─ oci-layout                 {"imageLayoutVersion":"1.0.0"}
//! ├─ index.json                 one entry per name, with org.opencontainers.image.ref.name;
//! │                             entries without a name: images kept without one, and referrers
//! ├─ blobs/<algorithm>/<encoded>   manifests, indexes, configs, layers, as received
//! └─ .corten/                   ours alone; other tools ignore it, removing it while no corten
//!    │                          runs loses nothing but unfinished transfers
//!    ├─ lock                    shared by who writes blobs, exclusive for who edits or collects
//!    ├─ staged/<algorithm>-<encoded>[.N]   a blob on its way in, locked by its writer
//!    ├─ leases/<process>-<n>    one per handle that writes, locked while the handle lives
//!    └─ types/<algorithm>-<encoded>   media type of a document that does not hold it
//! ```
//!
//! **Writing.** A blob is staged, hashed on its way, synced and renamed into place, so it is there
//! whole or not at all. A staged file stays when its writer is cut off; the next one hashes it
//! again and goes on at its end. `index.json` is edited as JSON, so what other tools wrote in it
//! stays, under the exclusive lock, and again from the start when another tool changed it meanwhile.
//!
//! **Referrers.** A document with a subject is entered into `index.json` without a name, as `oras`
//! does, so every tool that reads the layout finds it. Reading asks every document that is
//! reachable from `index.json` for its subject, the index under the referrers tag included.
//!
//! **Collecting.** What no entry of `index.json` leads to is garbage, but only when nobody can be
//! about to name it: a handle takes a lease before its first write, and every blob it writes or
//! finds present is stamped with the current time. [`LayoutStore::collect`] deletes only what is
//! older than the grace period and older than every lease (leases count for at most
//! [`LEASE_LIMIT`], so that a server that runs for months does not stop collection). Stamping
//! happens under the shared lock and deleting under the exclusive one, so neither sees the other
//! half done.

mod collect;
mod edit;
mod lease;
mod settled;
mod staged;

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MediaType, RefName};

pub use collect::Collected;
pub use lease::LEASE_LIMIT;
pub use staged::Staged;

use crate::beneath::{Beneath, io_error};
use crate::catalog::{self, Facts, INDEX_FILE, IndexEntry, LAYOUT_FILE, LAYOUT_HEADER, Shelf};
use crate::intake::{self, blocking};
use crate::part::Place;
use crate::region::Region;
use crate::{
    Begun, ByteStream, Fetcher, Ingester, Kind, Pusher, Referrers, Resolved, Resolver, Selector,
    Store, StoreError, Tagger,
};
use lease::{Lease, Lock};

const BLOBS: &str = "blobs";
const STAGED: &str = ".corten/staged";
const LEASES: &str = ".corten/leases";
const TYPES: &str = ".corten/types";
const LOCK: &str = ".corten/lock";
/// Most bytes of a noted media type.
const MAX_MEDIA_TYPE: u64 = 1024;

/// A layout in a directory; clones are the same place. Methods that are not `async` read or write
/// small files on the calling thread.
#[derive(Clone, Debug)]
pub struct LayoutStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Arc<Beneath>,
    facts: Facts,
    lease: Mutex<Option<Lease>>,
}

impl LayoutStore {
    /// Opens the layout at `path`, made where there is nothing or an empty directory. A directory
    /// with other things in it is refused and left as it is.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::founded(Beneath::create(path.as_ref())?)
    }

    /// The same, closed to everybody but its owner, whatever the umask and whatever its mode was: what is packed
    /// here may have been read by nobody else.
    pub fn create_private(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::founded(Beneath::create_private(path.as_ref())?)
    }

    /// Makes an empty directory a layout.
    fn founded(root: Beneath) -> Result<Self, StoreError> {
        let store = Self::at(root);
        let root = &store.inner.root;
        let ours = [LAYOUT_FILE, INDEX_FILE, BLOBS, ".corten"];
        let names = root.list("")?;
        if let Some(other) = names.iter().find(|name| !ours.contains(&name.as_str()))
            && !names.iter().any(|name| name == LAYOUT_FILE)
        {
            let shown: String = other.chars().take(80).collect();
            return Err(
                store.malformed(LAYOUT_FILE, format!("not a layout, and it holds '{shown}'"))
            );
        }
        root.close_itself()?;
        if root.read(LAYOUT_FILE)?.is_none() || root.read(INDEX_FILE)?.is_none() {
            store.found()?;
        }
        store.checked()
    }

    /// Opens the layout that must be at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::at(Beneath::open(path.as_ref())?).checked()
    }

    fn at(root: Beneath) -> Self {
        let (root, facts, lease) = (Arc::new(root), Facts::default(), Mutex::default());
        Self { inner: Arc::new(Inner { root, facts, lease }) }
    }

    /// Writes what makes an empty directory a layout; the header last, and nothing twice.
    fn found(&self) -> Result<(), StoreError> {
        let _lock = self.lock(Lock::Exclusive)?;
        let root = &self.inner.root;
        root.make_dir(STAGED)?;
        root.make_dir("blobs/sha256")?;
        if root.read(INDEX_FILE)?.is_none() {
            root.write(&format!("{STAGED}/new"), INDEX_FILE, edit::EMPTY_INDEX)?;
        }
        if root.read(LAYOUT_FILE)?.is_none() {
            root.write(&format!("{STAGED}/new"), LAYOUT_FILE, LAYOUT_HEADER)?;
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, StoreError> {
        let limit = ("oci-layout", catalog::MAX_LAYOUT_HEADER);
        self.settled(LAYOUT_FILE, limit, catalog::check_header)?;
        self.entries()?;
        Ok(self)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.inner.root.path()
    }

    /// What `index.json` lists, in its order.
    pub fn entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        self.settled(INDEX_FILE, edit::INDEX_LIMIT, catalog::entries)
    }

    /// A blob, open for reading and **not verified**; a regular file, never through a link.
    pub fn blob_file(&self, digest: &Digest) -> Result<std::fs::File, StoreError> {
        let file = self.inner.root.read(&blob_path(digest))?;
        file.ok_or_else(|| self.missing(digest))
    }

    /// Takes the entry of `name` out of `index.json`; `NotFound` when there is none. Its content
    /// stays until [`LayoutStore::collect`] finds that nothing else leads to it.
    pub fn remove(&self, name: &RefName) -> Result<(), StoreError> {
        if self.edit(|index| edit::remove_name(self, index, name))? {
            return Ok(());
        }
        Err(self.missing(name))
    }

    /// Takes every entry that points at `digest` out of `index.json`, with a name or without;
    /// returns the names that are gone. `NotFound` when nothing points at it.
    pub fn forget(&self, digest: &Digest) -> Result<Vec<RefName>, StoreError> {
        self.edit(|index| edit::remove_digest(self, index, digest))?
            .ok_or_else(|| self.missing(digest))
    }

    fn missing(&self, object: impl ToString) -> StoreError {
        StoreError::NotFound { object: object.to_string(), place: self.describe() }
    }

    fn malformed(&self, object: &str, source: impl Into<crate::Cause>) -> StoreError {
        StoreError::Malformed {
            object: object.to_owned(),
            place: self.describe(),
            source: source.into(),
        }
    }

    /// Makes the directories that a blob of this algorithm needs, and takes the lease.
    fn ready_to_write(&self, digest: &Digest) -> Result<(), StoreError> {
        let root = &self.inner.root;
        root.make_dir(STAGED)?;
        root.make_dir(&format!("{BLOBS}/{}", digest.algorithm_name()))?;
        self.take_lease()
    }

    fn place_of(&self, blob: &Descriptor) -> Place {
        Place {
            root: self.inner.root.clone(),
            staged: format!("{STAGED}/{}", flat_name(&blob.digest)),
            target: blob_path(&blob.digest),
            size: blob.size,
        }
    }

    fn write_document(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let descriptor = document.descriptor();
        self.ready_to_write(&descriptor.digest)?;
        let root = &self.inner.root;
        let present = {
            let _lock = self.lock(Lock::Shared)?;
            self.place_of(descriptor).is_present()?
        };
        if !present {
            let target = blob_path(&descriptor.digest);
            root.write(&format!("{STAGED}/new"), &target, document.bytes())?;
        }
        if catalog::sniff(document.bytes()).as_ref() != Some(&descriptor.media_type) {
            root.make_dir(TYPES)?;
            let target = format!("{TYPES}/{}", flat_name(&descriptor.digest));
            root.write(
                &format!("{STAGED}/new"),
                &target,
                descriptor.media_type.as_str().as_bytes(),
            )?;
        }
        if document.subject().is_some() {
            self.edit(|index| edit::add_unnamed(self, index, document))?;
        }
        Ok(())
    }

    fn enter(&self, name: Option<&RefName>, document: &AnyDocument) -> Result<(), StoreError> {
        let digest = &document.descriptor().digest;
        if self.inner.root.read(&blob_path(digest))?.is_none() {
            return Err(self.missing(digest));
        }
        match name {
            Some(name) => self.edit(|index| edit::set_name(self, index, name, document)),
            None => self.edit(|index| edit::add_unnamed(self, index, document)),
        }
    }
}

/// Where a blob lies. A digest's grammar has no slash, and no dot where a name begins or ends.
fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm_name(), digest.encoded())
}

fn flat_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm_name(), digest.encoded())
}

impl Shelf for LayoutStore {
    fn place(&self) -> String {
        self.describe()
    }

    fn entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        LayoutStore::entries(self)
    }

    fn region(&self, digest: &Digest) -> Result<Option<Region>, StoreError> {
        let relative = blob_path(digest);
        let Some(file) = self.inner.root.read(&relative)? else {
            return Ok(None);
        };
        let path = self.inner.root.full(&relative);
        let len = file.metadata().map_err(|e| io_error(&path, "stat", e))?.len();
        Ok(Some(Region { file: Arc::new(file), start: 0, len, path }))
    }

    fn noted_type(&self, digest: &Digest) -> Result<Option<MediaType>, StoreError> {
        let path = format!("{TYPES}/{}", flat_name(digest));
        let bytes = self.inner.root.read_small(&path, ("a media type", MAX_MEDIA_TYPE))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(MediaType::new))
    }
}

#[async_trait]
impl Resolver for LayoutStore {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        let (store, selector) = (self.clone(), selector.clone());
        blocking(move || catalog::resolve(&store, &selector)).await
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        let store = self.clone();
        blocking(move || catalog::names(&store)).await
    }
}

#[async_trait]
impl Fetcher for LayoutStore {
    async fn fetch(
        &self,
        _: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        let (store, descriptor) = (self.clone(), descriptor.clone());
        blocking(move || catalog::fetch(&store, &descriptor, offset)).await
    }

    async fn exists(&self, _: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let (store, place) = (self.clone(), self.place_of(descriptor));
        blocking(move || {
            if store.has_lease() {
                let _lock = store.lock(Lock::Shared)?;
                return place.is_present();
            }
            let there = place.root.read(&place.target)?;
            let len = there.and_then(|file| file.metadata().ok()).map(|meta| meta.len());
            Ok(len == Some(place.size))
        })
        .await
    }
}

#[async_trait]
impl Pusher for LayoutStore {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let (store, document) = (self.clone(), document.clone());
        blocking(move || store.write_document(&document)).await
    }
}

#[async_trait]
impl Tagger for LayoutStore {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        let (store, name, document) = (self.clone(), name.clone(), document.clone());
        blocking(move || store.enter(Some(&name), &document)).await
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        let (store, name) = (self.clone(), name.clone());
        blocking(move || store.remove(&name)).await
    }
}

#[async_trait]
impl Referrers for LayoutStore {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let (store, subject) = (self.clone(), subject.clone());
        let artifact_type = artifact_type.cloned();
        blocking(move || {
            catalog::referrers(&store, &store.inner.facts, &subject, artifact_type.as_ref())
        })
        .await
    }
}

#[async_trait]
impl Ingester for LayoutStore {
    async fn begin(&self, blob: &Descriptor, _: Option<&Location>) -> Result<Begun, StoreError> {
        let (store, place, digest) = (self.clone(), self.place_of(blob), blob.digest.clone());
        let open = move || {
            store.ready_to_write(&digest)?;
            // Held while the blob is looked for and its staged file is opened.
            let _lock = store.lock(Lock::Shared)?;
            if place.is_present()? { Ok(None) } else { place.open() }
        };
        let intake = intake::start(blob, self.describe(), open).await?;
        Ok(intake.map_or(Begun::Present, |intake| Begun::Ingest(Box::new(intake))))
    }
}

#[async_trait]
impl Store for LayoutStore {
    fn describe(&self) -> String {
        format!("oci:{}", self.path().display())
    }

    async fn keep(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let (store, document) = (self.clone(), document.clone());
        blocking(move || store.enter(None, &document)).await
    }
}
