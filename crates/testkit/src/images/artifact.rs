//! Artifacts, and manifests that refer to others.

use bytes::Bytes;
use corten_spec::{
    AnyDocument, Descriptor, Document, EMPTY_JSON, Index, Manifest, MediaType, annotation,
    empty_descriptor,
};

use super::TestImage;

/// An artifact with one blob of content and no config (image-spec `manifest.md`, Guidelines for
/// Artifact Usage).
pub fn artifact(kind: &str, title: &str, content: impl Into<Bytes>) -> TestImage {
    let content = content.into();
    let mut layer = Descriptor::of(MediaType::new("application/octet-stream"), &content);
    layer.annotations.insert(annotation::TITLE.to_owned(), title.to_owned());
    let mut manifest = Manifest::image(empty_descriptor(), vec![layer.clone()]);
    manifest.artifact_type = Some(MediaType::new(kind));
    finished(manifest, vec![(layer, content)])
}

/// An artifact that says everything in its annotations: empty config, empty layer.
pub fn empty_artifact(kind: &str) -> TestImage {
    let mut manifest = Manifest::image(empty_descriptor(), vec![empty_descriptor()]);
    manifest.artifact_type = Some(MediaType::new(kind));
    finished(manifest, Vec::new())
}

/// An artifact that refers to `subject`, and nothing of the subject itself. For a chain, make
/// referrers of referrers.
pub fn referrer(subject: &TestImage, kind: &str, text: &str) -> TestImage {
    let content = Bytes::copy_from_slice(text.as_bytes());
    let layer = Descriptor::of(MediaType::new("text/plain"), &content);
    let mut manifest = Manifest::image(empty_descriptor(), vec![layer.clone()]);
    manifest.artifact_type = Some(MediaType::new(kind));
    manifest.subject = Some(subject.root().descriptor().bare());
    manifest.annotations.insert("com.example.text".to_owned(), text.to_owned());
    finished(manifest, vec![(layer, content)])
}

/// An index of `children` that refers to `subject`.
pub fn referrer_index(subject: &TestImage, kind: &str, children: &[TestImage]) -> TestImage {
    let mut index = Index::new(children.iter().map(TestImage::pointer).collect());
    index.artifact_type = Some(MediaType::new(kind));
    index.subject = Some(subject.root().descriptor().bare());
    TestImage::index_with(MediaType::OCI_INDEX, index, children)
}

fn finished(manifest: Manifest, mut blobs: Vec<(Descriptor, Bytes)>) -> TestImage {
    blobs.push((empty_descriptor().bare(), Bytes::from_static(EMPTY_JSON)));
    let document = Document::write(MediaType::OCI_MANIFEST, manifest).unwrap();
    TestImage::of(blobs, vec![AnyDocument::Manifest(document)], None)
}
