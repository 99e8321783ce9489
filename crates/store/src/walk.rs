//! The graph below a document: what it points at, and everything that is reached from it.

use std::collections::HashSet;

use corten_spec::{AnyDocument, Descriptor, Digest, MAX_DOCUMENT, MediaType};

use crate::{Kind, Store, StoreError, read_document};

/// How deep indexes may lie in each other, the root counted; the field has two.
pub const MAX_DEPTH: usize = 8;
/// How many documents one walk may reach.
pub const MAX_DOCUMENTS: usize = 100_000;
/// How many bytes the documents that one walk keeps may have together.
pub const MAX_GRAPH_BYTES: u64 = 64 * 1024 * 1024;

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
    let mut graph = Graph::default();
    let mut budget = Budget::new(store.describe());
    let mut seen: HashSet<Digest> = HashSet::from([root.digest.clone()]);
    // A document waits on the stack with the children that are still to be visited.
    let mut stack = vec![open(store, root, &mut budget, &mut seen, &mut graph).await?];
    while let Some((_, waiting)) = stack.last_mut() {
        if let Some(next) = waiting.pop() {
            if stack.len() >= MAX_DEPTH {
                return Err(too_deep(&store.describe(), &next.digest));
            }
            let opened = open(store, &next, &mut budget, &mut seen, &mut graph).await?;
            stack.push(opened);
        } else if let Some((document, _)) = stack.pop() {
            graph.documents.push(document);
        }
    }
    Ok(graph)
}

/// Reads one document, notes its blobs, and returns its unvisited manifests, last one first.
async fn open(
    store: &dyn Store,
    descriptor: &Descriptor,
    budget: &mut Budget,
    seen: &mut HashSet<Digest>,
    graph: &mut Graph,
) -> Result<(AnyDocument, Vec<Descriptor>), StoreError> {
    budget.take(descriptor)?;
    let document = read_document(store, descriptor).await?;
    let mut manifests = Vec::new();
    for child in children(&document) {
        if !seen.insert(child.descriptor.digest.clone()) {
            continue;
        }
        match child.kind {
            Kind::Blob => graph.blobs.push(child.descriptor.clone()),
            Kind::Manifest => manifests.push(child.descriptor.clone()),
        }
    }
    manifests.reverse();
    Ok((document, manifests))
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
