//! The graph below a document: what it points at, and everything that is reached from it.

use std::collections::{HashMap, HashSet};

use corten_spec::{AnyDocument, Descriptor, Digest, MAX_DOCUMENT, MediaType};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::retry::retry;
use crate::{Kind, Store, StoreError, read_document};

/// How deep documents may lie below each other, the root and the last manifest counted; the field
/// has two or three.
pub const MAX_DEPTH: usize = 8;
/// How many documents one walk may reach.
pub const MAX_DOCUMENTS: usize = 100_000;
/// How many bytes the documents that one walk keeps may have together.
pub const MAX_GRAPH_BYTES: u64 = 64 * 1024 * 1024;

/// Documents read at the same time.
const READS: usize = 8;

/// The type under which BuildKit's cache lists its config among the manifests of an index.
const BUILDKIT_CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// One pointer inside a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// How the target is addressed.
    pub kind: Kind,
    /// What it is.
    pub descriptor: &'a Descriptor,
}

/// Everything that `document` needs to be whole, in its order: the manifests of an index, the
/// config and the layers of a manifest. A subject is not among it: it is a weak link.
pub fn children(document: &AnyDocument) -> Vec<Child<'_>> {
    match document {
        AnyDocument::Index(index) => index
            .value()
            .manifests
            .iter()
            .map(|descriptor| Child { kind: kind_in_index(descriptor), descriptor })
            .collect(),
        AnyDocument::Manifest(manifest) => {
            let manifest = manifest.value();
            std::iter::once(&manifest.config)
                .chain(&manifest.layers)
                .map(|descriptor| Child { kind: Kind::Blob, descriptor })
                .collect()
        }
        AnyDocument::Other(_) => Vec::new(),
    }
}

/// What an index lists is a manifest, of whatever type; but some tools list layers and configs
/// there (BuildKit's cache does), and no manifest is larger than a document may be.
fn kind_in_index(descriptor: &Descriptor) -> Kind {
    let media_type = &descriptor.media_type;
    let blob = media_type.is_layer()
        || media_type.is_config()
        || *media_type == MediaType::OCI_EMPTY
        || media_type.as_str() == BUILDKIT_CACHE_CONFIG
        || (descriptor.size > MAX_DOCUMENT && !media_type.is_manifest() && !media_type.is_index());
    if blob { Kind::Blob } else { Kind::Manifest }
}

/// The descriptor under which `document` is listed as a referrer: with the artifact type and the
/// annotations that distribution-spec, Listing Referrers, asks for.
pub fn describe_referrer(document: &AnyDocument) -> Descriptor {
    let mut descriptor = document.descriptor().bare();
    match document {
        AnyDocument::Manifest(manifest) => {
            descriptor.artifact_type = Some(manifest.value().artifact_kind().clone());
            descriptor.annotations = manifest.value().annotations.clone();
        }
        AnyDocument::Index(index) => {
            descriptor.artifact_type = index.value().artifact_type.clone();
            descriptor.annotations = index.value().annotations.clone();
        }
        AnyDocument::Other(_) => {}
    }
    descriptor
}

/// All that is reached from one root.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Manifests and indexes, each once, every child before its parents.
    pub documents: Vec<AnyDocument>,
    /// Blobs, each once, in the order in which they are met.
    pub blobs: Vec<Descriptor>,
}

/// Reads every document reachable from `root`, and lists every blob.
pub async fn walk(store: &dyn Store, root: &Descriptor) -> Result<Graph, StoreError> {
    let mut survey = Survey::new(store);
    survey.explore(vec![root.clone()], &|_| true).await?;
    Ok(survey.finish())
}

/// A walk from several roots, one after the other, that visits nothing twice.
pub(crate) struct Survey<'a> {
    store: &'a dyn Store,
    budget: Budget,
    seen: HashSet<Digest>,
    /// In the order in which they were met; `order` brings children before parents.
    documents: Vec<AnyDocument>,
    blobs: Vec<Descriptor>,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            budget: Budget::new(store.describe()),
            seen: HashSet::new(),
            documents: Vec::new(),
            blobs: Vec::new(),
        }
    }

    /// Takes in a root that was read already.
    pub(crate) async fn explore_document(
        &mut self,
        document: AnyDocument,
        choose: &(dyn Fn(&Descriptor) -> bool + Sync),
    ) -> Result<(), StoreError> {
        if !self.seen.insert(document.descriptor().digest.clone()) {
            return Ok(());
        }
        self.budget.take(document.descriptor())?;
        let below = self.take(document, choose);
        self.descend(below, 2, choose).await
    }

    /// Reads `roots` and all that is below them; of what an index lists, only what `choose` picks.
    pub(crate) async fn explore(
        &mut self,
        roots: Vec<Descriptor>,
        choose: &(dyn Fn(&Descriptor) -> bool + Sync),
    ) -> Result<(), StoreError> {
        let new = roots.into_iter().filter(|root| self.seen.insert(root.digest.clone())).collect();
        self.descend(new, 1, choose).await
    }

    async fn descend(
        &mut self,
        mut level: Vec<Descriptor>,
        mut depth: usize,
        choose: &(dyn Fn(&Descriptor) -> bool + Sync),
    ) -> Result<(), StoreError> {
        while let Some(first) = level.first() {
            if depth > MAX_DEPTH {
                return Err(too_deep(&self.store.describe(), &first.digest));
            }
            level.iter().try_for_each(|descriptor| self.budget.take(descriptor))?;
            let store = self.store;
            let reads = level.into_iter().map(|descriptor| read(store, descriptor));
            let documents: Vec<_> = stream::iter(reads).buffered(READS).try_collect().await?;
            level = Vec::new();
            for document in documents {
                level.extend(self.take(document, choose));
            }
            depth += 1;
        }
        Ok(())
    }

    /// Keeps a document, notes its blobs, and returns the manifests it is the first to list.
    fn take(
        &mut self,
        document: AnyDocument,
        choose: &(dyn Fn(&Descriptor) -> bool + Sync),
    ) -> Vec<Descriptor> {
        let mut manifests = Vec::new();
        let is_index = matches!(document, AnyDocument::Index(_));
        for Child { kind, descriptor } in children(&document) {
            let wanted = !is_index || choose(descriptor);
            if !wanted || !self.seen.insert(descriptor.digest.clone()) {
                continue;
            }
            match kind {
                Kind::Blob => self.blobs.push(descriptor.clone()),
                Kind::Manifest => manifests.push(descriptor.clone()),
            }
        }
        self.documents.push(document);
        manifests
    }

    /// The documents met so far, from the `from`th on.
    pub(crate) fn documents(&self, from: usize) -> &[AnyDocument] {
        self.documents.get(from..).unwrap_or_default()
    }

    pub(crate) fn finish(self) -> Graph {
        Graph { documents: order(self.documents), blobs: self.blobs }
    }
}

async fn read(store: &dyn Store, descriptor: Descriptor) -> Result<AnyDocument, StoreError> {
    retry(|| read_document(store, &descriptor)).await
}

/// Children before parents, otherwise as they came. Written without recursion: a hostile graph may
/// be a chain of any length.
fn order(documents: Vec<AnyDocument>) -> Vec<AnyDocument> {
    let place_of: HashMap<Digest, usize> = documents
        .iter()
        .enumerate()
        .map(|(place, document)| (document.descriptor().digest.clone(), place))
        .collect();
    let below = |place: usize| -> Vec<usize> {
        let found = documents.get(place).map(children).unwrap_or_default();
        found.iter().rev().filter_map(|c| place_of.get(&c.descriptor.digest).copied()).collect()
    };
    let mut visited = vec![false; documents.len()];
    let mut sorted = Vec::with_capacity(documents.len());
    for start in 0..documents.len() {
        let mut stack = vec![(start, None)];
        while let Some((place, waiting)) = stack.last_mut() {
            let (place, first_visit) = (*place, waiting.is_none());
            if first_visit && visited.get(place).copied().unwrap_or(true) {
                stack.pop();
                continue;
            }
            if first_visit && let Some(mark) = visited.get_mut(place) {
                *mark = true;
            }
            let waiting = waiting.get_or_insert_with(|| below(place));
            match waiting.pop() {
                Some(next) => stack.push((next, None)),
                None => {
                    sorted.push(place);
                    stack.pop();
                }
            }
        }
    }
    let mut slots: Vec<Option<AnyDocument>> = documents.into_iter().map(Some).collect();
    sorted.into_iter().filter_map(|place| slots.get_mut(place)?.take()).collect()
}

/// What a walk may still keep.
pub(crate) struct Budget {
    place: String,
    documents: usize,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(place: String) -> Self {
        Self { place, documents: MAX_DOCUMENTS, bytes: MAX_GRAPH_BYTES }
    }

    /// Refuses the document that would pass [`MAX_DOCUMENTS`] or [`MAX_GRAPH_BYTES`].
    pub(crate) fn take(&mut self, descriptor: &Descriptor) -> Result<(), StoreError> {
        let refuse = |what, limit| StoreError::TooLarge {
            object: descriptor.digest.to_string(),
            place: self.place.clone(),
            what,
            limit,
        };
        if descriptor.size > MAX_DOCUMENT {
            return Err(refuse("a manifest", MAX_DOCUMENT));
        }
        let whole = "all documents of one image";
        let bytes = self.bytes.checked_sub(descriptor.size);
        self.bytes = bytes.ok_or_else(|| refuse(whole, MAX_GRAPH_BYTES))?;
        let documents = self.documents.checked_sub(1);
        self.documents = documents.ok_or_else(|| refuse(whole, MAX_GRAPH_BYTES))?;
        Ok(())
    }
}

pub(crate) fn too_deep(place: &str, digest: &Digest) -> StoreError {
    StoreError::Malformed {
        object: digest.to_string(),
        place: place.to_owned(),
        source: format!("indexes lie more than {MAX_DEPTH} deep in each other").into(),
    }
}
