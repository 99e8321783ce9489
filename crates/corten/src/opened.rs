//! Places, opened: what the verbs read from and write to.

use std::path::Path;
use std::sync::Arc;

use corten_spec::{AnyDocument, Location, RefName, Reference, Tag};
use corten_store::{
    Archive, Directory, IndexEntry, LayoutStore, Resolver, Selector, Store, StoreError,
    read_document,
};

use crate::place::{StoreName, ref_name};
use crate::{Context, Failure, Place};

impl Context {
    /// Opens the place to read from.
    pub async fn source(&self, place: &Place) -> Result<OpenSource, Failure> {
        let shown = place.to_string();
        match place {
            Place::Registry(reference) => self.registry_source(reference, shown),
            Place::Layout(path, selector) => {
                let store = LayoutStore::open(path)?;
                let selector = match selector {
                    Some(selector) => selector.clone(),
                    None => only_image(&store, store.entries()?, &shown).await?,
                };
                Ok(OpenSource { store: Arc::new(store), selector, shown })
            }
            Place::Archive(path, selector) => {
                let archive = self.read_archive(path).await?;
                let selector = match selector {
                    Some(selector) => selector.clone(),
                    None => only_image(&archive, archive.entries()?, &shown).await?,
                };
                Ok(OpenSource { store: Arc::new(archive), selector, shown })
            }
            Place::Directory(path) => {
                let directory = Directory::open(path)?;
                let digest = directory.image()?.descriptor().digest.clone();
                let selector = Selector::Digest(digest);
                Ok(OpenSource { store: Arc::new(directory), selector, shown })
            }
            Place::Store(name) => {
                let (store, selector) = (self.store()?, name.selector()?);
                Ok(OpenSource { store: Arc::new(store), selector, shown })
            }
            Place::Bare(name) => self.bare_source(name, shown).await,
        }
    }

    /// An archive to read from; one on standard input is unpacked beside the local store first.
    async fn read_archive(&self, path: &Path) -> Result<Archive, Failure> {
        if path.as_os_str() != "-" {
            return Ok(Archive::open(path)?);
        }
        let spool = self.store()?.path().to_owned();
        let read = move || Ok(Archive::read(std::io::stdin().lock(), spool)?);
        crate::ops::on_thread("reading standard input", read).await
    }

    /// A bare name is the local store's, if it has it, else its registry's.
    async fn bare_source(&self, name: &StoreName, shown: String) -> Result<OpenSource, Failure> {
        let (store, selector) = (self.store()?, name.selector()?);
        match (store.resolve(&selector).await, name) {
            (Err(StoreError::NotFound { .. }), StoreName::Reference(reference)) => {
                let asked = format!("the local store has no {selector}, so its registry was asked");
                self.advice().add(reference.name.host(), asked);
                self.registry_source(reference, shown)
            }
            (Err(error), _) => Err(error.into()),
            (Ok(_), _) => Ok(OpenSource { store: Arc::new(store), selector, shown }),
        }
    }

    fn registry_source(&self, reference: &Reference, shown: String) -> Result<OpenSource, Failure> {
        let registry = self.registry(location_of(reference))?;
        Ok(OpenSource { store: Arc::new(registry), selector: selector_of(reference), shown })
    }

    /// Opens the place to write to; what `source` is called there follows from `place`, and where
    /// that says nothing, from the source's own name.
    pub async fn target(&self, place: &Place, source: &OpenSource) -> Result<OpenTarget, Failure> {
        let shown = place.to_string();
        let named = |selector: &Option<Selector>| match selector {
            Some(Selector::Name(name)) => Ok(vec![name.clone()]),
            Some(Selector::Digest(_)) => Err(Failure::Usage(format!(
                "{shown}: a target is named by a tag, its digest follows from the content"
            ))),
            None => Ok(source.name().into_iter().collect()),
        };
        match place {
            Place::Registry(reference) => {
                let store = Arc::new(self.registry(location_of(reference))?);
                let names = match (&reference.tag, &reference.digest) {
                    (Some(tag), _) => vec![RefName::from(tag.clone())],
                    (None, Some(_)) => Vec::new(),
                    (None, None) => vec![RefName::from(Tag::latest())],
                };
                Ok(OpenTarget { store, names, shown, archive: None })
            }
            Place::Layout(path, selector) => {
                let names = named(selector)?;
                let store = Arc::new(LayoutStore::create(path)?);
                Ok(OpenTarget { store, names, shown, archive: None })
            }
            Place::Archive(path, selector) => {
                let names = named(selector)?;
                let archive = if path.as_os_str() == "-" {
                    Archive::write(std::io::stdout())
                } else {
                    Archive::create(path)?
                };
                let store = Arc::new(archive.clone());
                Ok(OpenTarget { store, names, shown, archive: Some(archive) })
            }
            Place::Directory(path) => {
                // It holds one image, which needs no name.
                let store = Arc::new(Directory::create(path)?);
                Ok(OpenTarget { store, names: Vec::new(), shown, archive: None })
            }
            Place::Store(name) | Place::Bare(name) => {
                let names = match name {
                    StoreName::Reference(reference) => vec![ref_name(reference)?],
                    StoreName::Digest(_) => Vec::new(),
                };
                Ok(OpenTarget { store: Arc::new(self.store()?), names, shown, archive: None })
            }
        }
    }
}

pub(crate) fn location_of(reference: &Reference) -> Location {
    let (host, repository) = (reference.name.host(), reference.name.path());
    Location { host: host.to_owned(), repository: repository.to_owned() }
}

fn selector_of(reference: &Reference) -> Selector {
    match &reference.digest {
        Some(digest) => Selector::Digest(digest.clone()),
        None => {
            let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
            Selector::Name(RefName::from(tag))
        }
    }
}

/// The one entry of a layout that holds one.
/// The one image of a layout or archive. What refers to another image stands in its list too, and
/// is no image that could be meant.
async fn only_image(
    store: &dyn Store,
    entries: Vec<IndexEntry>,
    shown: &str,
) -> Result<Selector, Failure> {
    let mut images = entries;
    if images.len() > 1 {
        let mut others = Vec::new();
        for entry in images {
            let refers = entry.name.is_none()
                && read_document(store, &entry.descriptor).await?.subject().is_some();
            if !refers {
                others.push(entry);
            }
        }
        images = others;
    }
    match images.as_slice() {
        [entry] => Ok(Selector::Digest(entry.descriptor.digest.clone())),
        _ => Err(ambiguous(shown, images.iter().filter_map(|entry| entry.name.as_ref()))),
    }
}

fn ambiguous<'a>(shown: &str, names: impl Iterator<Item = &'a RefName>) -> Failure {
    let names: Vec<&str> = names.map(RefName::as_str).collect();
    if names.is_empty() {
        return Failure::Usage(format!("{shown} holds no named image: pick one by @DIGEST"));
    }
    Failure::Usage(format!("{shown} holds more than one image: {}", names.join(", ")))
}

/// An image in an opened place.
pub struct OpenSource {
    /// The place.
    pub store: Arc<dyn Store>,
    /// What picks the image there.
    pub selector: Selector,
    /// The place as the user would write it.
    pub shown: String,
}

impl OpenSource {
    /// The image's manifest or index, verified.
    pub async fn root(&self) -> Result<AnyDocument, Failure> {
        let resolved = self.store.resolve(&self.selector).await?;
        match resolved.document {
            Some(document) => Ok(document),
            None => Ok(read_document(self.store.as_ref(), &resolved.descriptor).await?),
        }
    }

    fn name(&self) -> Option<RefName> {
        match &self.selector {
            Selector::Name(name) => Some(name.clone()),
            Selector::Digest(_) => None,
        }
    }
}

/// An opened place to write to.
pub struct OpenTarget {
    /// The place.
    pub store: Arc<dyn Store>,
    /// The names the image gets there.
    pub names: Vec<RefName>,
    /// The place as the user would write it.
    pub shown: String,
    archive: Option<Archive>,
}

impl OpenTarget {
    /// Completes the place; an archive becomes visible only now.
    pub async fn finish(self) -> Result<(), Failure> {
        if let Some(archive) = self.archive {
            drop(self.store);
            archive.finish().await?;
        }
        Ok(())
    }
}

impl Place {
    /// Whether the place is standard input or output.
    pub(crate) fn is_standard_stream(&self) -> bool {
        matches!(self, Self::Archive(path, _) if path.as_os_str() == "-")
    }
}
