//! The flat directory: the very files that other tools read and write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use corten_spec::{AnyDocument, Platform, RefName};
use corten_store::contract::{images, put};
use corten_store::{
    Directory, MemoryStore, Pusher as _, Request, Selector, Store, StoreError, WithReferrers,
    check_image, copy,
};

async fn add(store: &dyn Store, image: &images::Image) {
    for (blob, bytes) in &image.blobs {
        put(store, blob, bytes).await.unwrap();
    }
    store.push(&image.manifest).await.unwrap();
}

fn root(document: &AnyDocument) -> Selector {
    Selector::Digest(document.descriptor().digest.clone())
}

fn encoded(document: &AnyDocument) -> String {
    document.descriptor().digest.encoded().to_owned()
}

fn files(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_index_is_written_flat_and_read_back() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    let store = MemoryStore::new("a");
    let platforms = ["linux/amd64", "linux/arm64"].map(|p| p.parse::<Platform>().unwrap());
    let images = platforms.clone().map(|platform| images::image_for(1, &platform));
    add(&store, &images[0]).await;
    add(&store, &images[1]).await;
    let index = images::index(&[
        (&images[0].manifest, Some(platforms[0].clone())),
        (&images[1].manifest, Some(platforms[1].clone())),
    ]);
    store.push(&index).await.unwrap();
    let directory = Directory::create(&path).unwrap();
    copy(Request::new(Arc::new(store), Arc::new(directory), root(&index))).await.unwrap();

    let mut expected = BTreeSet::from(["version".to_owned(), "manifest.json".to_owned()]);
    for image in &images {
        expected.insert(format!("{}.manifest.json", encoded(&image.manifest)));
        expected.extend(image.blobs.iter().map(|(blob, _)| blob.digest.encoded().to_owned()));
    }
    assert_eq!(files(&path), expected);
    let version = fs::read_to_string(path.join("version")).unwrap();
    assert_eq!(version, "Directory Transport Version: 1.1\n");
    assert_eq!(fs::read(path.join("manifest.json")).unwrap(), *index.bytes());

    let directory = Directory::open(&path).unwrap();
    assert_eq!(directory.image().unwrap().bytes(), index.bytes());
    let checked = check_image(&directory, index.descriptor()).await.unwrap();
    assert_eq!((checked.corrupt, checked.missing), (vec![], vec![]));
}

#[tokio::test]
async fn another_image_takes_the_place_of_the_one_before() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path();
    let store = MemoryStore::new("a");
    let (old, new) = (images::image(1), images::image(2));
    let signature = images::artifact(3, "application/x-signature", &new.manifest);
    for image in [&old, &new, &signature] {
        add(&store, image).await;
    }
    let put_in = |image: &images::Image| {
        let directory = Directory::create(path).unwrap();
        let from = Arc::new(store.clone());
        let mut request = Request::new(from, Arc::new(directory), root(&image.manifest));
        request.referrers = WithReferrers::Yes;
        copy(request)
    };
    put_in(&old).await.unwrap();
    fs::write(path.join("signature-1"), "of the old one").unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    put_in(&new).await.unwrap();
    let mut expected: BTreeSet<String> =
        ["version", "manifest.json", "notes.txt"].map(str::to_owned).into();
    for image in [&new, &signature] {
        expected.extend(image.blobs.iter().map(|(blob, _)| blob.digest.encoded().to_owned()));
    }
    expected.insert(format!("{}.manifest.json", encoded(&signature.manifest)));
    assert_eq!(files(path), expected);
    let directory = Directory::open(path).unwrap();
    let checked = check_image(&directory, new.manifest.descriptor()).await.unwrap();
    assert_eq!(checked.missing, []);
}

#[tokio::test]
async fn names_and_other_directories_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("thesis.txt"), "words").unwrap();
    let created = Directory::create(temporary.path());
    assert!(matches!(created, Err(StoreError::Malformed { .. })), "{created:?}");
    assert_eq!(files(temporary.path()).len(), 1);
    let directory = Directory::create(temporary.path().join("new")).unwrap();
    assert!(matches!(directory.image(), Err(StoreError::NotFound { .. })));
    let image = images::image(1);
    add(&directory, &image).await;
    let store: &dyn Store = &directory;
    let tagged = store.tag(&RefName::parse("x").unwrap(), &image.manifest).await;
    assert!(matches!(tagged, Err(StoreError::Unsupported { .. })), "{tagged:?}");
}

#[tokio::test]
async fn a_manifest_that_lies_is_found_out() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = Directory::create(temporary.path()).unwrap();
    let image = images::image(1);
    add(&directory, &image).await;
    let file = temporary.path().join(format!("{}.manifest.json", encoded(&image.manifest)));
    fs::write(file, images::image(2).manifest.bytes()).unwrap();
    let kept = directory.keep(&image.manifest).await;
    assert!(matches!(kept, Err(StoreError::Corrupt { .. })), "{kept:?}");
}
