//! One image in a flat directory, in the form of the `dir:` transport that skopeo and podman use.
//!
//! ```text
//! DIR/
//! ├─ version                     "Directory Transport Version: 1.1\n"
//! ├─ manifest.json               the image: a manifest, or an index
//! ├─ <encoded>.manifest.json     what the index lists, and referrers
//! ├─ <encoded>                   configs and layers
//! ├─ signature-N, <encoded>.signature-N   simple signatures, which corten neither reads nor writes
//! └─ .corten-…                   a file on its way in
//! ```
//!
//! The image has no name. It becomes the directory's image by [`Store::keep`], which then removes
//! the files of the one that was there before; until then that one stays whole.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use corten_spec::{AnyDocument, Descriptor, Digest, Location, MAX_DOCUMENT, MediaType, RefName};

use crate::beneath::{Beneath, io_error};
use crate::catalog::sniff;
use crate::intake::{self, blocking};
use crate::part::Place;
use crate::region::Region;
use crate::walk::{children, describe_referrer};
use crate::{
    Begun, ByteStream, Fetcher, Ingester, Kind, Pusher, Referrers, Resolved, Resolver, Selector,
    Store, StoreError, Tagger,
};

const VERSION_FILE: &str = "version";
const VERSION: &str = "Directory Transport Version: 1.1\n";
/// Every version that differs from 1.1 in nothing that is read here starts so.
const VERSION_START: &str = "Directory Transport Version: 1.";
const MAX_VERSION: u64 = 1024;
const ROOT_FILE: &str = "manifest.json";
const DOCUMENT_ENDING: &str = ".manifest.json";
const SCRATCH: &str = ".corten-new";

/// One image in a flat directory; clones are the same place.
#[derive(Clone, Debug)]
pub struct Directory {
    root: Arc<Beneath>,
}

impl Directory {
    /// Opens a directory that holds an image.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = Self { root: Arc::new(Beneath::open(path.as_ref())?) };
        directory.check_version()?;
        directory.image()?;
        Ok(directory)
    }

    /// Opens, or makes, a directory to put an image into. One that is neither empty nor of this
    /// form is refused and left as it is.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = Self { root: Arc::new(Beneath::create(path.as_ref())?) };
        if directory.root.list("")?.is_empty() {
            directory.root.write(SCRATCH, VERSION_FILE, VERSION.as_bytes())?;
        }
        directory.check_version()?;
        Ok(directory)
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let limit = ("the version file", MAX_VERSION);
        let version = self.root.read_small(VERSION_FILE, limit)?;
        if version.is_some_and(|version| version.starts_with(VERSION_START.as_bytes())) {
            return Ok(());
        }
        Err(self.malformed(VERSION_FILE, "not the directory of an image"))
    }

    /// The image of the directory.
    pub fn image(&self) -> Result<AnyDocument, StoreError> {
        let missing = || self.missing(ROOT_FILE);
        self.image_if_any()?.ok_or_else(missing)
    }

    fn image_if_any(&self) -> Result<Option<AnyDocument>, StoreError> {
        self.document_in(ROOT_FILE, Digest::sha256)
    }

    fn document_in(
        &self,
        file: &str,
        digest: impl FnOnce(&[u8]) -> Digest,
    ) -> Result<Option<AnyDocument>, StoreError> {
        let Some(bytes) = self.root.read_small(file, ("a manifest", MAX_DOCUMENT))? else {
            return Ok(None);
        };
        let unknown = || self.malformed(file, "its media type cannot be told");
        let media_type = sniff(&bytes).ok_or_else(unknown)?;
        let descriptor = Descriptor::new(media_type, digest(&bytes), bytes.len() as u64);
        let document = AnyDocument::parse(&descriptor, bytes.into());
        document.map(Some).map_err(|error| StoreError::Corrupt {
            object: file.to_owned(),
            place: self.describe(),
            source: error.into(),
        })
    }

    /// A document by its digest, whether it is the image or belongs to it.
    fn document(&self, digest: &Digest) -> Result<Option<AnyDocument>, StoreError> {
        if let Some(image) = self.image_if_any()?
            && image.descriptor().digest == *digest
        {
            return Ok(Some(image));
        }
        self.document_in(&document_file(digest), |_| digest.clone())
    }

    fn region(&self, kind: Kind, digest: &Digest) -> Result<Option<Region>, StoreError> {
        let mut names = vec![digest.encoded().to_owned()];
        if kind == Kind::Manifest {
            let image = self.image_if_any()?;
            let is_image = image.is_some_and(|image| image.descriptor().digest == *digest);
            let file = if is_image { ROOT_FILE.to_owned() } else { document_file(digest) };
            names.insert(0, file);
        }
        for name in names {
            if let Some(file) = self.root.read(&name)? {
                let path = self.root.full(&name);
                let len = file.metadata().map_err(|e| io_error(&path, "stat", e))?.len();
                return Ok(Some(Region { file: Arc::new(file), start: 0, len, path }));
            }
        }
        Ok(None)
    }

    /// Every document besides the image, by digest; what cannot be read is none.
    fn others(&self) -> Result<HashMap<Digest, AnyDocument>, StoreError> {
        let mut others = HashMap::new();
        for file in self.root.list("")? {
            let Some(encoded) = file.strip_suffix(DOCUMENT_ENDING) else {
                continue;
            };
            let algorithms = corten_spec::Algorithm::ALL.into_iter();
            let digests = algorithms
                .filter_map(|algorithm| Digest::parse(&format!("{algorithm}:{encoded}")).ok());
            let documents = digests.filter_map(|digest| {
                let document = self.document_in(&file, |_| digest.clone()).ok()??;
                Some((digest, document))
            });
            others.extend(documents);
        }
        Ok(others)
    }

    /// Makes `document` the image, then removes what is not part of it.
    fn make_image(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let digest = &document.descriptor().digest;
        let old = self.image_if_any()?;
        if old.is_some_and(|old| old.descriptor().digest == *digest) {
            return Ok(());
        }
        if self.document(digest)?.is_none() {
            return Err(self.missing(digest));
        }
        self.root.write(SCRATCH, ROOT_FILE, document.bytes())?;
        self.root.remove(&document_file(digest))?;
        let wanted = self.wanted(document)?;
        for file in self.root.list("")? {
            if is_content(&file) && !wanted.contains(&file) {
                self.root.remove(&file)?;
            }
        }
        Ok(())
    }

    /// The files of an image and of its referrers.
    fn wanted(&self, image: &AnyDocument) -> Result<HashSet<String>, StoreError> {
        let mut others = self.others()?;
        let mut reached = HashSet::from([image.descriptor().digest.clone()]);
        let mut files = HashSet::new();
        let mut queue = vec![image.clone()];
        while let Some(document) = queue.pop() {
            for child in children(&document) {
                reached.insert(child.descriptor.digest.clone());
                files.insert(child.descriptor.digest.encoded().to_owned());
            }
            let joins = |(digest, other): &(&Digest, &AnyDocument)| {
                let refers = other.subject().is_some_and(|s| reached.contains(&s.digest));
                reached.contains(*digest) || refers
            };
            let next: Vec<Digest> =
                others.iter().filter(joins).map(|(digest, _)| digest.clone()).collect();
            for digest in next {
                files.insert(document_file(&digest));
                queue.extend(others.remove(&digest));
                reached.insert(digest);
            }
        }
        Ok(files)
    }

    fn place_of(&self, blob: &Descriptor) -> Place {
        let encoded = blob.digest.encoded();
        Place {
            root: self.root.clone(),
            staged: format!(".corten-{encoded}"),
            target: encoded.to_owned(),
            size: blob.size,
        }
    }

    fn missing(&self, object: impl ToString) -> StoreError {
        StoreError::NotFound { object: object.to_string(), place: self.describe() }
    }

    fn malformed(&self, object: &str, why: &'static str) -> StoreError {
        let (object, place) = (object.to_owned(), self.describe());
        StoreError::Malformed { object, place, source: why.into() }
    }

    fn without_names(&self) -> StoreError {
        StoreError::Unsupported { place: self.describe(), action: "naming of images".to_owned() }
    }
}

fn document_file(digest: &Digest) -> String {
    format!("{}{DOCUMENT_ENDING}", digest.encoded())
}

/// Whether a file is part of some image: nothing else is ever removed.
fn is_content(file: &str) -> bool {
    let is_hex = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits && (text.len() == 64 || text.len() == 128)
    };
    let is_signature = |text: &str| {
        let number = text.strip_prefix("signature-");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    match file.split_once('.') {
        None => is_hex(file) || is_signature(file),
        Some((stem, rest)) => is_hex(stem) && (rest == "manifest.json" || is_signature(rest)),
    }
}

#[async_trait]
impl Resolver for Directory {
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        let Selector::Digest(digest) = selector.clone() else {
            return Err(self.missing(selector));
        };
        let directory = self.clone();
        blocking(move || {
            let document = directory.document(&digest)?;
            let document = document.ok_or_else(|| directory.missing(&digest))?;
            Ok(Resolved { descriptor: document.descriptor().clone(), document: Some(document) })
        })
        .await
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Fetcher for Directory {
    async fn fetch(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        let (directory, digest) = (self.clone(), descriptor.digest.clone());
        blocking(move || {
            let region = directory.region(kind, &digest)?;
            region.ok_or_else(|| directory.missing(&digest))?.stream(offset)
        })
        .await
    }

    async fn exists(&self, kind: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let (directory, descriptor) = (self.clone(), descriptor.clone());
        blocking(move || {
            let region = directory.region(kind, &descriptor.digest)?;
            Ok(region.is_some_and(|region| region.len == descriptor.size))
        })
        .await
    }
}

#[async_trait]
impl Pusher for Directory {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let (directory, document) = (self.clone(), document.clone());
        blocking(move || {
            let descriptor = document.descriptor();
            if sniff(document.bytes()).as_ref() != Some(&descriptor.media_type) {
                return Err(StoreError::Unsupported {
                    place: directory.describe(),
                    action: format!("a {} that does not tell its type", descriptor.media_type),
                });
            }
            if directory.document(&descriptor.digest)?.is_some() {
                return Ok(());
            }
            let file = document_file(&descriptor.digest);
            directory.root.write(SCRATCH, &file, document.bytes())
        })
        .await
    }
}

#[async_trait]
impl Tagger for Directory {
    async fn tag(&self, _: &RefName, _: &AnyDocument) -> Result<(), StoreError> {
        Err(self.without_names())
    }

    async fn untag(&self, _: &RefName) -> Result<(), StoreError> {
        Err(self.without_names())
    }
}

#[async_trait]
impl Referrers for Directory {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let (directory, subject) = (self.clone(), subject.clone());
        let others = blocking(move || {
            let others = directory.others()?.into_values();
            let refers = |document: &AnyDocument| {
                document.subject().is_some_and(|found| found.digest == subject)
            };
            Ok(others.filter(refers).collect::<Vec<_>>())
        })
        .await?;
        let mut found: Vec<Descriptor> = others.iter().map(describe_referrer).collect();
        found.retain(|f| artifact_type.is_none() || f.artifact_type.as_ref() == artifact_type);
        found.sort_unstable_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }
}

#[async_trait]
impl Ingester for Directory {
    async fn begin(&self, blob: &Descriptor, _: Option<&Location>) -> Result<Begun, StoreError> {
        let place = self.place_of(blob);
        let open = move || if place.is_present()? { Ok(None) } else { place.open() };
        let intake = intake::start(blob, self.describe(), open).await?;
        Ok(intake.map_or(Begun::Present, |intake| Begun::Ingest(Box::new(intake))))
    }
}

#[async_trait]
impl Store for Directory {
    fn describe(&self) -> String {
        format!("dir:{}", self.root.path().display())
    }

    async fn keep(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let (directory, document) = (self.clone(), document.clone());
        blocking(move || directory.make_image(&document)).await
    }
}
