//! The rules for manifests, names and referrers.

use corten_spec::{AnyDocument, Digest, MediaType, RefName};

use super::{bare, images, is_not_found, push_image, read_from};
use crate::{Kind, Selector, Store, resolve_document};

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

fn by_digest(document: &AnyDocument) -> Selector {
    Selector::Digest(document.descriptor().digest.clone())
}

pub(super) async fn push_is_byte_exact(store: &dyn Store) {
    let image = images::image(1);
    push_image(store, &image).await;
    let index = images::index(&[(&image.manifest, None)]);
    store.push(&index).await.expect("an index is pushed");
    for document in [&image.manifest, &index] {
        let resolved = store.resolve(&by_digest(document)).await.expect("resolved by its digest");
        assert_eq!(resolved.descriptor.bare(), bare(document), "type, digest and size are right");
        assert!(store.exists(Kind::Manifest, document.descriptor()).await.unwrap());
        let bytes = read_from(store, Kind::Manifest, document.descriptor(), 0).await.unwrap();
        assert_eq!(bytes, *document.bytes(), "a manifest is kept byte for byte");
        let read = resolve_document(store, &by_digest(document)).await.unwrap();
        assert_eq!(read.bytes(), document.bytes());
    }
}

pub(super) async fn push_is_idempotent(store: &dyn Store) {
    let image = images::image(2);
    push_image(store, &image).await;
    store.push(&image.manifest).await.expect("pushing again succeeds");
    let resolved = store.resolve(&by_digest(&image.manifest)).await.unwrap();
    assert_eq!(resolved.descriptor.bare(), bare(&image.manifest));
}

pub(super) async fn missing_document(store: &dyn Store) {
    let missing = images::image(3).manifest;
    let resolved = store.resolve(&by_digest(&missing)).await;
    assert!(is_not_found(&resolved), "a missing digest is not found: {resolved:?}");
    let resolved = store.resolve(&Selector::Name(name("nothing"))).await;
    assert!(is_not_found(&resolved), "a missing name is not found: {resolved:?}");
    assert!(!store.exists(Kind::Manifest, missing.descriptor()).await.unwrap());
}

pub(super) async fn unknown_types_are_carried(store: &dyn Store) {
    let document = images::opaque(4);
    store.push(&document).await.expect("a document of an unknown type is pushed");
    let resolved = store.resolve(&by_digest(&document)).await.unwrap();
    assert_eq!(resolved.descriptor.bare(), bare(&document), "it keeps its type");
}

pub(super) async fn names_are_sorted(store: &dyn Store) {
    assert_eq!(store.names().await.unwrap(), [], "a new place has no names");
    let image = images::image(5);
    push_image(store, &image).await;
    for text in ["v2", "v10", "Z", "a", "v1"] {
        store.tag(&name(text), &image.manifest).await.expect("a manifest is named");
    }
    let names = store.names().await.unwrap();
    assert_eq!(names, ["Z", "a", "v1", "v10", "v2"].map(name), "names are sorted by bytes");
    let resolved = store.resolve(&Selector::Name(name("v10"))).await.unwrap();
    assert_eq!(resolved.descriptor.bare(), bare(&image.manifest));
}

pub(super) async fn tag_moves(store: &dyn Store) {
    let (old, new) = (images::image(6), images::image(7));
    push_image(store, &old).await;
    push_image(store, &new).await;
    for image in [&old, &new, &new] {
        store.tag(&name("latest"), &image.manifest).await.unwrap();
    }
    let resolved = store.resolve(&Selector::Name(name("latest"))).await.unwrap();
    assert_eq!(resolved.descriptor.bare(), bare(&new.manifest), "a name is what it was made last");
    assert_eq!(store.names().await.unwrap(), [name("latest")], "it is there once");
    assert!(store.resolve(&by_digest(&old.manifest)).await.is_ok(), "the old one stays");
}

pub(super) async fn tag_of_nothing(store: &dyn Store) {
    let missing = images::image(8).manifest;
    let result = store.tag(&name("x"), &missing).await;
    assert!(result.is_err(), "what is not there cannot be named");
    assert_eq!(store.names().await.unwrap(), [], "and the name is not made");
}

pub(super) async fn untag_leaves_the_manifest(store: &dyn Store) {
    let image = images::image(9);
    push_image(store, &image).await;
    store.tag(&name("a"), &image.manifest).await.unwrap();
    store.tag(&name("b"), &image.manifest).await.unwrap();
    store.untag(&name("a")).await.expect("a name is taken away");
    assert_eq!(store.names().await.unwrap(), [name("b")], "the others stay");
    store.untag(&name("b")).await.unwrap();
    assert_eq!(store.names().await.unwrap(), []);
    assert!(store.resolve(&by_digest(&image.manifest)).await.is_ok(), "the manifest stays");
    let again = store.untag(&name("a")).await;
    assert!(is_not_found(&again), "a name is taken away once: {again:?}");
}

async fn digests(store: &dyn Store, subject: &AnyDocument, kind: Option<&str>) -> Vec<Digest> {
    let kind = kind.map(MediaType::new);
    let digest = &subject.descriptor().digest;
    let found = store.referrers(digest, kind.as_ref()).await.expect("referrers are listed");
    let mut digests: Vec<Digest> = found.into_iter().map(|found| found.digest).collect();
    digests.sort_unstable();
    digests
}

fn sorted<const N: usize>(documents: [&AnyDocument; N]) -> Vec<Digest> {
    let mut digests = documents.map(|document| document.descriptor().digest.clone()).to_vec();
    digests.sort_unstable();
    digests
}

pub(super) async fn referrers(store: &dyn Store) {
    let image = images::image(20);
    push_image(store, &image).await;
    assert_eq!(digests(store, &image.manifest, None).await, [], "nothing refers to it yet");
    let signature = images::artifact(21, "application/x-signature", &image.manifest);
    let bill = images::artifact(22, "application/x-bill", &image.manifest);
    push_image(store, &signature).await;
    push_image(store, &bill).await;
    push_image(store, &bill).await;
    let both = sorted([&signature.manifest, &bill.manifest]);
    assert_eq!(digests(store, &image.manifest, None).await, both, "each is listed once");
    let bills = digests(store, &image.manifest, Some("application/x-bill")).await;
    assert_eq!(bills, sorted([&bill.manifest]), "the filter picks by artifact type");
    let found = store.referrers(&image.manifest.descriptor().digest, None).await.unwrap();
    let found = found.iter().find(|f| f.digest == signature.manifest.descriptor().digest).unwrap();
    assert_eq!(found.artifact_type, Some(MediaType::new("application/x-signature")));
    assert_eq!(found.annotations.get("org.example.seed").map(String::as_str), Some("21"));
    assert_eq!(found.media_type, MediaType::OCI_MANIFEST);
    let deeper = images::artifact(23, "application/x-signature", &bill.manifest);
    push_image(store, &deeper).await;
    assert_eq!(digests(store, &bill.manifest, None).await, sorted([&deeper.manifest]));
    assert_eq!(digests(store, &image.manifest, None).await, both, "only direct referrers");
}

pub(super) async fn referrers_before_subject(store: &dyn Store) {
    let image = images::image(24);
    let signature = images::artifact(25, "application/x-signature", &image.manifest);
    push_image(store, &signature).await;
    let found = digests(store, &image.manifest, None).await;
    assert_eq!(found, sorted([&signature.manifest]), "a subject need not be there");
}
