//! Images and artifacts of every form, made from nothing: for a registry, a store, or as plain
//! documents and blobs.
//!
//! ```
//! use corten_testkit::images::{TestImage, ImageMaker};
//!
//! let amd64 = ImageMaker::new().platform("linux/amd64").text_layer("etc/motd", "hello").build();
//! let arm64 = ImageMaker::new().platform("linux/arm64").text_layer("etc/motd", "hello").build();
//! let both = TestImage::index(&[amd64, arm64]);
//! assert_eq!(both.documents().len(), 3);
//! ```

mod artifact;
mod maker;
mod push;

use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, Document, Index, MediaType, Platform};

pub use artifact::{artifact, empty_artifact, referrer, referrer_index};
pub use maker::{ImageMaker, LayerForm};
pub use push::{push, push_noise};

/// A graph of manifests and blobs with one root.
#[derive(Clone, Debug)]
pub struct TestImage {
    blobs: Vec<(Descriptor, Bytes)>,
    /// Children before parents; the root is last.
    documents: Vec<AnyDocument>,
    platform: Option<Platform>,
}

impl TestImage {
    pub(crate) fn of(
        blobs: Vec<(Descriptor, Bytes)>,
        documents: Vec<AnyDocument>,
        platform: Option<Platform>,
    ) -> Self {
        let mut image = Self { blobs: Vec::new(), documents: Vec::new(), platform };
        blobs.into_iter().for_each(|blob| image.add_blob(blob));
        documents.into_iter().for_each(|document| image.add_document(document));
        image
    }

    /// An OCI index of images and of further indexes, each with its platform where it has one.
    pub fn index(children: &[TestImage]) -> Self {
        Self::index_of(MediaType::OCI_INDEX, children)
    }

    /// A Docker manifest list.
    pub fn docker_list(children: &[TestImage]) -> Self {
        Self::index_of(MediaType::DOCKER_LIST, children)
    }

    fn index_of(media_type: MediaType, children: &[TestImage]) -> Self {
        let mut index = Index::new(children.iter().map(TestImage::pointer).collect());
        index.media_type = Some(media_type.clone());
        Self::index_with(media_type, index, children)
    }

    pub(crate) fn index_with(media_type: MediaType, index: Index, children: &[TestImage]) -> Self {
        let blobs = children.iter().flat_map(|child| child.blobs.clone()).collect();
        let mut documents: Vec<AnyDocument> =
            children.iter().flat_map(|child| child.documents.clone()).collect();
        documents.push(AnyDocument::Index(Document::write(media_type, index).unwrap()));
        Self::of(blobs, documents, None)
    }

    /// The manifest or index that stands for the whole.
    pub fn root(&self) -> &AnyDocument {
        self.documents.last().expect("an image has a root")
    }

    /// The digest of the root.
    pub fn digest(&self) -> &Digest {
        &self.root().descriptor().digest
    }

    /// The descriptor of the root as an index lists it, with the platform.
    pub fn pointer(&self) -> Descriptor {
        Descriptor { platform: self.platform.clone(), ..self.root().descriptor().bare() }
    }

    /// All manifests and indexes, children before parents.
    pub fn documents(&self) -> &[AnyDocument] {
        &self.documents
    }

    /// All configs and layers, each once.
    pub fn blobs(&self) -> &[(Descriptor, Bytes)] {
        &self.blobs
    }

    /// The blobs that a copy takes along: all but the layers not to be distributed.
    pub fn distributable(&self) -> impl Iterator<Item = &(Descriptor, Bytes)> {
        self.blobs.iter().filter(|(descriptor, _)| !descriptor.media_type.is_non_distributable())
    }

    fn add_blob(&mut self, (descriptor, bytes): (Descriptor, Bytes)) {
        if !self.blobs.iter().any(|(known, _)| known.digest == descriptor.digest) {
            self.blobs.push((descriptor, bytes));
        }
    }

    fn add_document(&mut self, document: AnyDocument) {
        let digest = &document.descriptor().digest;
        if !self.documents.iter().any(|known| known.descriptor().digest == *digest) {
            self.documents.push(document);
        }
    }
}

#[cfg(test)]
mod tests;
