//! What a memory keeps, shares and forgets.

use super::*;
use corten_spec::{Document, Index, Manifest, empty_descriptor};

fn name(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn artifact(text: &str, subject: Option<&AnyDocument>) -> AnyDocument {
    let mut manifest = Manifest::image(empty_descriptor(), vec![]);
    manifest.artifact_type = Some(MediaType::new("application/vnd.test"));
    manifest.annotations.insert("text".to_owned(), text.to_owned());
    manifest.subject = subject.map(|subject| subject.descriptor().bare());
    AnyDocument::Manifest(Document::write(MediaType::OCI_MANIFEST, manifest).unwrap())
}

#[test]
fn a_blob_is_read_only_where_it_was_put_or_mounted() {
    let memory = Memory::new();
    let (a, b) = (name("a"), name("b"));
    let digest = Digest::sha256(b"x");
    memory.put_blob(&a, &digest, Bytes::from_static(b"x"));
    assert_eq!(memory.blob(&a, &digest).as_deref(), Some(b"x".as_slice()));
    assert_eq!(memory.blob(&b, &digest), None);
    assert!(!memory.mount(&a, &b, &digest));
    assert!(memory.mount(&b, &a, &digest));
    assert_eq!(memory.holders(&digest), [a.clone(), b.clone()]);
    assert!(memory.delete_blob(&a, &digest));
    assert!(!memory.delete_blob(&a, &digest));
    assert!(memory.blob(&b, &digest).is_some());
    assert!(memory.delete_blob(&b, &digest));
    assert!(memory.state().blobs.is_empty());
}

#[test]
fn a_deleted_manifest_takes_its_tags_along_and_a_tag_nothing() {
    let memory = Memory::new();
    let a = name("a");
    let document = artifact("x", None);
    let digest = Target::Digest(document.descriptor().digest.clone());
    memory.put_manifest(&a, &document, &[tag("b"), tag("a"), tag("c")]);
    assert_eq!(memory.tags(&a), Some(vec![tag("a"), tag("b"), tag("c")]));
    assert!(memory.delete_manifest(&a, &Target::Tag(tag("b"))));
    assert!(!memory.delete_manifest(&a, &Target::Tag(tag("b"))));
    assert!(memory.manifest(&a, &digest).is_some());
    assert!(memory.delete_manifest(&a, &digest));
    assert_eq!(memory.tags(&a), Some(vec![]));
    assert!(memory.manifest(&a, &Target::Tag(tag("a"))).is_none());
    assert_eq!(memory.tags(&name("b")), None);
}

#[test]
fn referrers_are_listed_with_type_and_annotations_until_deleted() {
    let memory = Memory::new();
    let a = name("a");
    let subject = artifact("subject", None);
    let referrer = artifact("referrer", Some(&subject));
    memory.put_manifest(&a, &referrer, &[]);
    let listed = memory.referrers(&a, &subject.descriptor().digest);
    let mut wanted = referrer.descriptor().bare();
    wanted.artifact_type = Some(MediaType::new("application/vnd.test"));
    wanted.annotations.insert("text".to_owned(), "referrer".to_owned());
    assert_eq!(listed, [wanted]);
    memory.delete_manifest(&a, &Target::Digest(referrer.descriptor().digest.clone()));
    assert_eq!(memory.referrers(&a, &subject.descriptor().digest), []);
}

#[test]
fn what_a_manifest_needs_is_missed_but_for_subject_and_foreign_layers() {
    let memory = Memory::new();
    let a = name("a");
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"config");
    let layer = Descriptor::of(MediaType::OCI_LAYER, b"layer");
    let foreign = Descriptor::of(MediaType::OCI_FOREIGN, b"foreign");
    let mut manifest = Manifest::image(config.clone(), vec![layer.clone(), foreign]);
    manifest.subject = Some(Descriptor::of(MediaType::OCI_MANIFEST, b"nowhere"));
    let document = Document::write(MediaType::OCI_MANIFEST, manifest).unwrap();
    let document = AnyDocument::Manifest(document);
    let missing = |digests: Vec<Digest>| Err(MissingContent(digests));
    let both = missing(vec![config.digest.clone(), layer.digest.clone()]);
    assert_eq!(memory.missing(&a, &document), both);
    memory.put_blob(&a, &config.digest, Bytes::from_static(b"config"));
    assert_eq!(memory.missing(&a, &document), missing(vec![layer.digest.clone()]));
    memory.put_blob(&a, &layer.digest, Bytes::from_static(b"layer"));
    assert_eq!(memory.missing(&a, &document), Ok(()));

    let child = document.descriptor().bare();
    let index = Index::new(vec![child.clone(), config]);
    let index = AnyDocument::Index(Document::write(MediaType::OCI_INDEX, index).unwrap());
    assert_eq!(memory.missing(&a, &index), missing(vec![child.digest]));
    memory.put_manifest(&a, &document, &[]);
    assert_eq!(memory.missing(&a, &index), Ok(()));
}

#[test]
fn sessions_look_like_uuids() {
    let session = Memory::new().session();
    let lengths: Vec<usize> = session.as_str().split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
}
