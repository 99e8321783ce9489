//! The layout on disk: what other tools see, what hostile ones plant, what crashes leave behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, MediaType, RefName};
use corten_store::contract::{images, put};
use corten_store::{
    Begun, Collected, Fetcher as _, Ingest, Ingester as _, Kind, LayoutStore, Pusher as _,
    Referrers as _, Resolver as _, Selector, Store as _, StoreError, Tagger as _, check,
};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

fn digest(document: &AnyDocument) -> Digest {
    document.descriptor().digest.clone()
}

fn blob_path(root: &Path, digest: &Digest) -> std::path::PathBuf {
    root.join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

fn index_json(root: &Path) -> Value {
    serde_json::from_slice(&fs::read(root.join("index.json")).unwrap()).unwrap()
}

async fn add(store: &LayoutStore, image: &images::Image) {
    for (blob, bytes) in &image.blobs {
        put(store, blob, bytes).await.unwrap();
    }
    store.push(&image.manifest).await.unwrap();
}

async fn add_named(store: &LayoutStore, seed: u64, text: &str) -> images::Image {
    let image = images::image(seed);
    add(store, &image).await;
    store.tag(&name(text), &image.manifest).await.unwrap();
    image
}

async fn ingest(store: &LayoutStore, blob: &Descriptor) -> Box<dyn Ingest> {
    match store.begin(blob, None).await.unwrap() {
        Begun::Ingest(ingest) => ingest,
        _ => panic!("the blob is there"),
    }
}

#[tokio::test]
async fn a_new_layout_has_the_form_of_the_specification() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("new/layout");
    let store = LayoutStore::create(&root).unwrap();
    assert_eq!(
        fs::read_to_string(root.join("oci-layout")).unwrap(),
        r#"{"imageLayoutVersion":"1.0.0"}"#
    );
    let image = add_named(&store, 1, "app").await;
    let manifest = image.manifest.descriptor();
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest.digest.as_str(),
            "size": manifest.size,
            "annotations": { "org.opencontainers.image.ref.name": "app" },
        }],
    });
    assert_eq!(index_json(&root), expected);
    assert_eq!(fs::read(blob_path(&root, &manifest.digest)).unwrap(), *image.manifest.bytes());
    for file in ["index.json", "oci-layout"] {
        assert_eq!(fs::metadata(root.join(file)).unwrap().permissions().mode() & 0o777, 0o644);
    }
    let layer = fs::metadata(blob_path(&root, &image.blobs[1].0.digest)).unwrap();
    assert_eq!(layer.permissions().mode() & 0o777, 0o644);
    let blobs = fs::metadata(root.join("blobs/sha256")).unwrap();
    assert_eq!(blobs.permissions().mode() & 0o777, 0o755);
    let staged: Vec<_> = fs::read_dir(root.join(".corten/staged")).unwrap().collect();
    assert_eq!(staged.len(), 0, "nothing is left of what was staged");
}

#[tokio::test]
async fn creating_again_changes_nothing_and_other_directories_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    add_named(&store, 1, "app").await;
    let before = index_json(directory.path());
    let again = LayoutStore::create(directory.path()).unwrap();
    assert_eq!(index_json(directory.path()), before);
    assert_eq!(again.names().await.unwrap(), [name("app")]);

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis.txt"), "words").unwrap();
    assert!(LayoutStore::create(other.path()).is_err());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "and left as they are");
    assert!(LayoutStore::open(other.path()).is_err());
    assert!(LayoutStore::open(other.path().join("nothing")).is_err());
}

#[tokio::test]
async fn what_other_tools_wrote_in_the_index_survives() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = images::image(1);
    add(&store, &image).await;
    let foreign = json!({
        "mediaType": "application/vnd.example.unknown+json",
        "digest": format!("sha256:{}", "7".repeat(64)),
        "size": 12,
        "annotations": { "org.opencontainers.image.ref.name": "a name with spaces", "k": "v" },
        "com.example.extra": { "deep": [1, 2.5, null] },
    });
    let written = json!({
        "schemaVersion": 2,
        "manifests": [foreign],
        "annotations": { "org.example.tool": "other" },
        "com.example.field": true,
    });
    fs::write(directory.path().join("index.json"), written.to_string()).unwrap();
    store.tag(&name("app"), &image.manifest).await.unwrap();
    store.untag(&name("app")).await.unwrap();
    store.tag(&name("again"), &image.manifest).await.unwrap();
    let mut after = index_json(directory.path());
    let ours = after["manifests"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(ours["annotations"]["org.opencontainers.image.ref.name"], "again");
    assert_eq!(after, written);
}

#[tokio::test]
async fn a_name_is_given_to_the_entry_that_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = images::image(1);
    add(&store, &image).await;
    store.keep(&image.manifest).await.unwrap();
    store.keep(&image.manifest).await.unwrap();
    assert_eq!(store.entries().unwrap().len(), 1);
    store.tag(&name("app"), &image.manifest).await.unwrap();
    store.tag(&name("too"), &image.manifest).await.unwrap();
    let names: Vec<_> = store.entries().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [Some(name("app")), Some(name("too"))]);
    assert_eq!(store.forget(&digest(&image.manifest)).unwrap(), [name("app"), name("too")]);
    assert!(matches!(store.forget(&digest(&image.manifest)), Err(StoreError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_set_at_the_same_time_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let first = LayoutStore::create(directory.path()).unwrap();
    let image = images::image(1);
    add(&first, &image).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        // Each has a handle of its own, as processes have.
        let (store, manifest) =
            (LayoutStore::open(directory.path()).unwrap(), image.manifest.clone());
        tasks.spawn(async move {
            for count in 0..8 {
                store.tag(&name(&format!("t{task}-{count}")), &manifest).await.unwrap();
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(first.names().await.unwrap().len(), 64);
}

#[tokio::test]
async fn documents_of_docker_and_of_unknown_types_are_kept_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let config = Descriptor::of(MediaType::DOCKER_CONFIG, b"{}");
    put(&store, &config, b"{}").await.unwrap();
    let bytes = format!(
        "{{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"{}\",\n  \"config\": {},\n  \"layers\": []\n}}",
        MediaType::DOCKER_MANIFEST,
        serde_json::to_string(&config).unwrap(),
    );
    let descriptor = Descriptor::of(MediaType::DOCKER_MANIFEST, bytes.as_bytes());
    let document = AnyDocument::parse(&descriptor, Bytes::from(bytes.clone())).unwrap();
    let unknown = images::opaque(1);
    for document in [&document, &unknown] {
        store.push(document).await.unwrap();
        // Resolved by a new handle, which remembers nothing.
        let store = LayoutStore::open(directory.path()).unwrap();
        let resolved = store.resolve(&Selector::Digest(digest(document))).await.unwrap();
        assert_eq!(resolved.descriptor, document.descriptor().bare());
        assert_eq!(resolved.document.unwrap().bytes(), document.bytes());
    }
}

#[tokio::test]
async fn links_and_odd_files_in_place_of_blobs_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let root = directory.path().join("layout");
    let store = LayoutStore::create(&root).unwrap();
    fs::write(&secret, "the secret").unwrap();
    let blob = Descriptor::of(MediaType::OCI_LAYER, b"the secret");
    let path = blob_path(&root, &blob.digest);
    let refused = |result: Result<(), StoreError>, what: &str| match result {
        Err(StoreError::Malformed { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    symlink(&secret, &path).unwrap();
    refused(store.fetch(Kind::Blob, &blob, 0).await.map(drop), "a link out of the layout");
    refused(store.blob_file(&blob.digest).map(drop), "a link out of the layout");
    refused(store.exists(Kind::Blob, &blob).await.map(drop), "a link out of the layout");
    refused(store.begin(&blob, None).await.map(drop), "a link out of the layout");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(store.fetch(Kind::Blob, &blob, 0).await.map(drop), "a directory");
    fs::remove_dir(&path).unwrap();
    let status = std::process::Command::new("mkfifo").arg(&path).status();
    if status.is_ok_and(|status| status.success()) {
        refused(store.fetch(Kind::Blob, &blob, 0).await.map(drop), "a pipe");
        fs::remove_file(&path).unwrap();
    }
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join(blob.digest.encoded()), "the secret").unwrap();
    fs::remove_dir(root.join("blobs/sha256")).unwrap();
    symlink(&outside, root.join("blobs/sha256")).unwrap();
    refused(store.fetch(Kind::Blob, &blob, 0).await.map(drop), "a linked directory");
    let before = fs::read_dir(&outside).unwrap().count();
    let (other, bytes) = images::blob(1, 1000);
    assert!(put(&store, &other, &bytes).await.is_err(), "nothing is written through a link");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), before);
}

#[tokio::test]
async fn a_blob_that_lies_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = add_named(&store, 1, "app").await;
    let layer = &image.blobs[1].0;
    let path = blob_path(directory.path(), &layer.digest);
    fs::write(&path, "short").unwrap();
    let fetched = store.fetch(Kind::Blob, layer, 0).await.map(drop);
    assert!(matches!(fetched, Err(StoreError::Corrupt { .. })), "by its size: {fetched:?}");
    assert!(!store.exists(Kind::Blob, layer).await.unwrap());
    put(&store, layer, &image.blobs[1].1).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), image.blobs[1].1, "and replaced by a right one");
    let manifest = blob_path(directory.path(), &digest(&image.manifest));
    let mut bytes = fs::read(&manifest).unwrap();
    bytes.push(b' ');
    fs::write(&manifest, bytes).unwrap();
    let resolved = store.resolve(&Selector::Name(name("app"))).await;
    assert!(matches!(resolved, Err(StoreError::Corrupt { .. })), "{resolved:?}");
}

#[tokio::test]
async fn hostile_indexes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let path = directory.path().join("index.json");
    for hostile in [
        "",
        "[]",
        "{\"manifests\": 5}",
        "{\"manifests\": [5]}",
        r#"{"manifests":[{"mediaType":"a/b","digest":"sha256:../../../etc/passwd","size":1}]}"#,
        r#"{"manifests":[{"mediaType":"a/b","digest":"../..:etc","size":1}]}"#,
        r#"{"manifests":[{"mediaType":"a/b","digest":"sha256:00","size":-1}]}"#,
    ] {
        fs::write(&path, hostile).unwrap();
        let names = store.names().await;
        assert!(matches!(names, Err(StoreError::Malformed { .. })), "{hostile}: {names:?}");
        assert!(LayoutStore::open(directory.path()).is_err());
    }
    fs::write(&path, format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).unwrap();
    assert!(matches!(store.names().await, Err(StoreError::Malformed { .. })), "deep nesting");
    let file = fs::File::create(&path).unwrap();
    file.set_len(corten_store::MAX_LAYOUT_INDEX + 1).unwrap();
    assert!(matches!(store.names().await, Err(StoreError::TooLarge { .. })));
    let file = fs::File::create(directory.path().join("oci-layout")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(matches!(LayoutStore::open(directory.path()), Err(StoreError::TooLarge { .. })));
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(LayoutStore::open(directory.path()), Err(StoreError::Malformed { .. })));
}

#[tokio::test]
async fn missing_content_is_legal_until_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = add_named(&store, 1, "app").await;
    fs::remove_file(blob_path(directory.path(), &digest(&image.manifest))).unwrap();
    assert_eq!(store.names().await.unwrap(), [name("app")]);
    let resolved = store.resolve(&Selector::Name(name("app"))).await;
    assert!(matches!(resolved, Err(StoreError::NotFound { .. })), "{resolved:?}");
    assert_eq!(store.referrers(&digest(&image.manifest), None).await.unwrap(), []);
}

#[tokio::test]
async fn a_killed_ingest_is_gone_on_with_and_bad_remains_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let (blob, bytes) = images::blob(1, 1_000_000);
    let staged = directory.path().join(".corten/staged");
    let staged = staged.join(blob.digest.as_str().replace(':', "-"));

    fs::write(&staged, &bytes[..700_000]).unwrap();
    let mut first = ingest(&store, &blob).await;
    assert_eq!(first.resume().await.unwrap(), 700_000);
    drop(first);

    // What a power cut left: the right length, other bytes.
    fs::write(&staged, vec![0; 700_000]).unwrap();
    let mut second = ingest(&store, &blob).await;
    assert_eq!(second.resume().await.unwrap(), 700_000);
    second.append(bytes.slice(700_000..)).await.unwrap();
    let committed = second.commit().await;
    assert!(matches!(committed, Err(StoreError::Corrupt { .. })), "{committed:?}");
    assert_eq!(second.resume().await.unwrap(), 0);
    drop(second);

    // More than the whole.
    fs::write(&staged, vec![0; 1_000_001]).unwrap();
    let mut third = ingest(&store, &blob).await;
    assert_eq!(third.resume().await.unwrap(), 0);
    third.append(bytes.clone()).await.unwrap();
    third.commit().await.unwrap();
    assert_eq!(fs::read(blob_path(directory.path(), &blob.digest)).unwrap(), bytes);
    assert!(!staged.exists());
}

#[tokio::test]
async fn two_handles_never_write_the_same_staged_file() {
    let directory = tempfile::tempdir().unwrap();
    let stores = [(); 2].map(|()| LayoutStore::create(directory.path()).unwrap());
    let (blob, bytes) = images::blob(1, 600_000);
    let mut first = ingest(&stores[0], &blob).await;
    first.resume().await.unwrap();
    first.append(bytes.slice(..300_000)).await.unwrap();
    first.resume().await.unwrap();
    let mut second = ingest(&stores[1], &blob).await;
    assert_eq!(second.resume().await.unwrap(), 0, "the bytes of a living one are not its own");
    second.append(bytes.clone()).await.unwrap();
    second.commit().await.unwrap();
    first.append(bytes.slice(300_000..)).await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(fs::read(blob_path(directory.path(), &blob.digest)).unwrap(), bytes);
    let staged = fs::read_dir(directory.path().join(".corten/staged")).unwrap();
    assert_eq!(staged.count(), 0);
}

fn deleted(collected: &Collected) -> Vec<Digest> {
    let mut deleted = collected.deleted.clone();
    deleted.sort_unstable();
    deleted
}

#[tokio::test]
async fn collection_deletes_what_nothing_leads_to() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let kept = add_named(&store, 1, "kept").await;
    let signature = images::artifact(2, "application/x-signature", &kept.manifest);
    add(&store, &signature).await;
    let nested = images::image(3);
    add(&store, &nested).await;
    let inner = images::index(&[(&nested.manifest, None)]);
    let outer = images::index(&[(&inner, None)]);
    store.push(&inner).await.unwrap();
    store.push(&outer).await.unwrap();
    store.tag(&name("nested"), &outer).await.unwrap();
    let gone = add_named(&store, 5, "gone").await;
    let on_gone = images::artifact(6, "application/x-signature", &gone.manifest);
    add(&store, &on_gone).await;
    store.remove(&name("gone")).unwrap();
    let (lone, bytes) = images::blob(99, 1000);
    put(&store, &lone, &bytes).await.unwrap();
    fs::write(directory.path().join(".corten/staged/sha256-abc"), "stale").unwrap();
    drop(store);

    let store = LayoutStore::open(directory.path()).unwrap();
    let early = store.collect(HOUR, SystemTime::now()).unwrap();
    assert_eq!((deleted(&early), early.staged), (vec![], 0), "nothing within the grace period");
    assert_eq!(early.young, 1, "a young referrer keeps its subject, a lone blob is just young");
    let late = store.collect(HOUR, SystemTime::now() + 2 * HOUR).unwrap();
    let mut expected: Vec<_> = gone.blobs.iter().map(|(blob, _)| blob.digest.clone()).collect();
    expected.push(lone.digest);
    expected.push(digest(&gone.manifest));
    expected.push(digest(&on_gone.manifest));
    expected.push(on_gone.blobs[1].0.digest.clone());
    expected.sort_unstable();
    assert_eq!(deleted(&late), expected, "an image, and its referrer with it");
    assert_eq!(late.staged, 1);
    assert_eq!(store.entries().unwrap().len(), 3, "the referrer of the gone image is not listed");
    let checked = check(&store).await.unwrap();
    assert_eq!((checked.corrupt, checked.missing), (vec![], vec![]), "all that is left is whole");
    let listed = store.referrers(&digest(&kept.manifest), None).await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn collection_deletes_what_is_noted_of_documents_that_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let (named, garbage, lost) = (images::opaque(1), images::opaque(2), images::opaque(3));
    for document in [&named, &garbage, &lost] {
        store.push(document).await.unwrap();
    }
    store.tag(&name("named"), &named).await.unwrap();
    // As a collection that was killed between the two files leaves it.
    fs::remove_file(blob_path(directory.path(), &digest(&lost))).unwrap();
    drop(store);
    let store = LayoutStore::open(directory.path()).unwrap();
    let collected = store.collect(HOUR, SystemTime::now() + 2 * HOUR).unwrap();
    assert_eq!(deleted(&collected), [digest(&garbage)]);
    let types = fs::read_dir(directory.path().join(".corten/types")).unwrap();
    let types: Vec<_> = types.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(types, [format!("sha256-{}", digest(&named).encoded()).as_str()]);
}

#[tokio::test]
async fn collection_leaves_alone_what_a_living_writer_has_not_named_yet() {
    let directory = tempfile::tempdir().unwrap();
    let old = images::image(1);
    {
        let store = LayoutStore::create(directory.path()).unwrap();
        add(&store, &old).await;
    }
    let day_before = SystemTime::now() - 20 * HOUR;
    for (blob, _) in &old.blobs {
        let file = fs::File::open(blob_path(directory.path(), &blob.digest)).unwrap();
        file.set_modified(day_before).unwrap();
    }
    let writer = LayoutStore::open(directory.path()).unwrap();
    // It finds one blob there, writes another, and is in the middle of a third.
    let present = writer.begin(&old.blobs[1].0, None).await.unwrap();
    assert!(matches!(present, Begun::Present));
    let (written, bytes) = images::blob(50, 1000);
    put(&writer, &written, &bytes).await.unwrap();
    let (half, bytes) = images::blob(51, 400_000);
    let mut ingest = ingest(&writer, &half).await;
    ingest.resume().await.unwrap();
    ingest.append(bytes.slice(..300_000)).await.unwrap();
    ingest.resume().await.unwrap();

    let collector = LayoutStore::open(directory.path()).unwrap();
    let now = SystemTime::now() + HOUR;
    let collected = collector.collect(Duration::ZERO, now).unwrap();
    assert!(collected.deleted.contains(&old.blobs[2].0.digest), "what nobody touched goes");
    assert!(!collected.deleted.contains(&old.blobs[1].0.digest), "what was found present stays");
    assert!(!collected.deleted.contains(&written.digest), "what was written stays");
    ingest.append(bytes.slice(300_000..)).await.unwrap();
    ingest.commit().await.expect("an ingest in progress is not disturbed");

    drop((ingest, writer));
    let leases = fs::read_dir(directory.path().join(".corten/leases")).unwrap();
    assert_eq!(leases.count(), 0, "a lease goes with its handle");
    let collected = collector.collect(Duration::ZERO, now).unwrap();
    for blob in [&old.blobs[1].0, &written, &half] {
        assert!(collected.deleted.contains(&blob.digest), "with its writer its protection ends");
    }
}

#[tokio::test]
async fn collection_deletes_nothing_when_a_document_is_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = add_named(&store, 1, "app").await;
    drop(store);
    fs::write(blob_path(directory.path(), &digest(&image.manifest)), "{}").unwrap();
    let store = LayoutStore::open(directory.path()).unwrap();
    let result = store.collect(Duration::ZERO, SystemTime::now() + HOUR);
    assert!(matches!(result, Err(StoreError::Corrupt { .. })), "{result:?}");
    assert!(blob_path(directory.path(), &image.blobs[1].0.digest).exists());
}

#[tokio::test]
async fn a_check_tells_ok_corrupt_and_missing() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = add_named(&store, 1, "app").await;
    let whole = check(&store).await.unwrap();
    let bytes = image.blobs.iter().map(|(blob, _)| blob.size).sum::<u64>();
    assert_eq!((whole.ok, whole.bytes), (4, bytes + image.manifest.descriptor().size));
    let (layer, config) = (&image.blobs[2].0.digest, &image.blobs[0].0.digest);
    let path = blob_path(directory.path(), layer);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1234] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(blob_path(directory.path(), config)).unwrap();
    let broken = check(&store).await.unwrap();
    assert_eq!(broken.ok, 2);
    assert_eq!((broken.corrupt, broken.missing), (vec![layer.clone()], vec![config.clone()]));
}

#[tokio::test]
async fn the_referrers_tag_of_other_tools_is_read_with_care() {
    let directory = tempfile::tempdir().unwrap();
    let store = LayoutStore::create(directory.path()).unwrap();
    let image = add_named(&store, 1, "app").await;
    let signature = images::artifact(2, "application/x-signature", &image.manifest);
    add(&store, &signature).await;
    store.forget(&digest(&signature.manifest)).unwrap();
    assert_eq!(store.referrers(&digest(&image.manifest), None).await.unwrap(), []);
    // The index under the tag lists the signature, and something that refers to nothing.
    let list = images::index(&[(&signature.manifest, None), (&image.manifest, None)]);
    store.push(&list).await.unwrap();
    let tag = corten_spec::Tag::of_referrers(&digest(&image.manifest));
    store.tag(&RefName::from(tag), &list).await.unwrap();
    let found = store.referrers(&digest(&image.manifest), None).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, digest(&signature.manifest));
}

#[tokio::test]
async fn reading_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let image = {
        let store = LayoutStore::create(directory.path()).unwrap();
        add_named(&store, 1, "app").await
    };
    fs::remove_dir_all(directory.path().join(".corten")).unwrap();
    let before = fs::metadata(directory.path().join("index.json")).unwrap();
    let store = LayoutStore::open(directory.path()).unwrap();
    store.resolve(&Selector::Name(name("app"))).await.unwrap();
    assert!(store.exists(Kind::Blob, &image.blobs[0].0).await.unwrap());
    store.referrers(&digest(&image.manifest), None).await.unwrap();
    check(&store).await.unwrap();
    assert!(!directory.path().join(".corten").exists());
    let after = fs::metadata(directory.path().join("index.json")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}
