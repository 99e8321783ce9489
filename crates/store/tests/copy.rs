//! What a copy carries, in which order, and what it does when the source fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod faults;

use std::sync::{Arc, Mutex};

use corten_spec::{AnyDocument, Descriptor, Digest, MediaType, Platform, RefName};
use corten_store::contract::{images, put};
use corten_store::{
    Event, Foreign, Graph, LayoutStore, MAX_ATTEMPTS, MAX_DEPTH, MemoryStore, Outcome, Platforms,
    Progress, Pusher as _, Referrers as _, Request, Resolver as _, Selector, Store, StoreError,
    Tagger as _, WithReferrers, check_image, copy, select, walk,
};
use faults::{Fault, Faulty};

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

fn digest(document: &AnyDocument) -> Digest {
    document.descriptor().digest.clone()
}

async fn add(store: &dyn Store, image: &images::Image) {
    for (blob, bytes) in &image.blobs {
        put(store, blob, bytes).await.unwrap();
    }
    store.push(&image.manifest).await.unwrap();
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// An index of three platforms under the name `app`; the layers of all are the same.
async fn multi(store: &dyn Store) -> (AnyDocument, Vec<images::Image>) {
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"].map(platform);
    let images: Vec<_> = platforms.iter().map(|p| images::image_for(1, p)).collect();
    for image in &images {
        add(store, image).await;
    }
    let entries: Vec<_> =
        images.iter().zip(&platforms).map(|(i, p)| (&i.manifest, Some(p.clone()))).collect();
    let index = images::index(&entries);
    store.push(&index).await.unwrap();
    store.tag(&name("app"), &index).await.unwrap();
    (index, images)
}

fn request(from: impl Store, to: impl Store, root: &str) -> Request {
    let mut request = Request::new(Arc::new(from), Arc::new(to), Selector::Name(name(root)));
    request.names = vec![name(root)];
    request
}

async fn assert_whole(store: &dyn Store, root: &AnyDocument) {
    let checked = check_image(store, root.descriptor()).await.unwrap();
    assert_eq!((checked.corrupt, checked.missing), (vec![], vec![]));
}

#[tokio::test]
async fn every_platform_is_copied_and_every_blob_once() {
    let (from, to) = (Faulty::new(MemoryStore::new("a"), &[]), MemoryStore::new("b"));
    let (index, _) = multi(&from).await;
    let copied = copy(request(from.clone(), to.clone(), "app")).await.unwrap();
    assert_eq!(copied.root, index.descriptor().bare());
    assert_eq!((copied.manifests, copied.pushed, copied.referrers), (4, 4, 0));
    assert_eq!(copied.sent.count, 5, "three configs and two shared layers");
    assert_eq!(copied.present.count, 0);
    let fetched = from.fetched.lock().unwrap().clone();
    assert!(fetched.values().all(|offsets| *offsets == [0]), "each blob is fetched once");
    let resolved = to.resolve(&Selector::Name(name("app"))).await.unwrap();
    assert_eq!(resolved.document.unwrap().bytes(), index.bytes());
    assert_whole(&to, &index).await;
}

#[tokio::test]
async fn a_second_copy_sends_nothing() {
    let (from, to) = (MemoryStore::new("a"), Faulty::new(MemoryStore::new("b"), &[]));
    multi(&from).await;
    copy(request(from.clone(), to.clone(), "app")).await.unwrap();
    let pushes = to.pushes.load(std::sync::atomic::Ordering::Relaxed);
    let copied = copy(request(from, to.clone(), "app")).await.unwrap();
    assert_eq!((copied.sent.count, copied.present.count), (0, 5));
    assert_eq!((copied.manifests, copied.pushed), (4, 0));
    assert_eq!(to.pushes.load(std::sync::atomic::Ordering::Relaxed), pushes);
}

#[tokio::test]
async fn a_sparse_copy_keeps_the_index_and_leaves_platforms_out() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let (index, images) = multi(&from).await;
    let mut request = request(from, to.clone(), "app");
    request.platforms = Platforms::Some(vec![platform("linux/arm64"), platform("linux/arm/v7")]);
    let copied = copy(request).await.unwrap();
    assert_eq!(copied.root, index.descriptor().bare());
    assert_eq!(copied.manifests, 3);
    let there = |image: &images::Image| {
        let (to, digest) = (to.clone(), digest(&image.manifest));
        async move { to.resolve(&Selector::Digest(digest)).await.is_ok() }
    };
    assert!(!there(&images[0]).await);
    assert!(there(&images[1]).await && there(&images[2]).await);
}

#[tokio::test]
async fn one_platform_is_copied_without_its_index() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let (_, images) = multi(&from).await;
    let mut request = request(from, to.clone(), "app");
    request.platforms = Platforms::One(platform("linux/arm64"));
    let copied = copy(request).await.unwrap();
    assert_eq!(copied.root, images[1].manifest.descriptor().bare());
    assert_eq!(copied.manifests, 1);
    assert_whole(&to, &images[1].manifest).await;
}

#[tokio::test]
async fn a_platform_that_is_not_there_is_refused_with_what_is() {
    let from = MemoryStore::new("a");
    multi(&from).await;
    let mut request = request(from, MemoryStore::new("b"), "app");
    request.platforms = Platforms::One(platform("linux/s390x"));
    let error = copy(request).await.unwrap_err();
    let StoreError::NoPlatform { available, .. } = &error else { panic!("{error}") };
    assert_eq!(available.len(), 3);
    assert!(error.to_string().contains("linux/arm/v7"), "{error}");
}

#[tokio::test]
async fn selection_goes_through_nested_indexes_and_asks_configs() {
    let store = MemoryStore::new("a");
    let (amd64, arm64) = (
        images::image_for(1, &platform("linux/amd64")),
        images::image_for(2, &platform("linux/arm64")),
    );
    add(&store, &amd64).await;
    add(&store, &arm64).await;
    let inner = images::index(&[(&arm64.manifest, None)]);
    let outer = images::index(&[(&inner, None), (&amd64.manifest, Some(platform("linux/amd64")))]);
    store.push(&inner).await.unwrap();
    let found = select(&store, &outer, &platform("linux/amd64")).await.unwrap();
    assert_eq!(found.digest, digest(&amd64.manifest));
    let found = select(&store, &outer, &platform("linux/arm64")).await.unwrap();
    assert_eq!(found.digest, digest(&arm64.manifest), "its platform stands in the config alone");
    let found = select(&store, &amd64.manifest, &platform("linux/arm64")).await;
    assert!(matches!(found, Err(StoreError::NoPlatform { .. })), "a single manifest is asked too");
}

#[tokio::test]
async fn the_best_variant_is_selected_and_the_first_among_equals() {
    let store = MemoryStore::new("a");
    let images: Vec<_> = (0..4).map(images::image).collect();
    let platforms = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/arm/v7"].map(platform);
    let entries: Vec<_> =
        images.iter().zip(platforms).map(|(image, p)| (&image.manifest, Some(p))).collect();
    let index = images::index(&entries);
    for (wanted, expected) in [("linux/arm/v7", 1), ("linux/arm/v6", 2), ("linux/arm/v5", 0)] {
        let found = select(&store, &index, &platform(wanted)).await.unwrap();
        assert_eq!(found.digest, digest(&images[expected].manifest), "{wanted}");
    }
}

/// An index with a signature, one of its manifests with a bill, the bill with a signature, and a
/// tag of cosign's for the other manifest.
async fn signed(store: &dyn Store) -> (AnyDocument, Vec<AnyDocument>, RefName) {
    let (index, images) = multi(store).await;
    let on_index = images::artifact(50, "application/x-signature", &index);
    let on_child = images::artifact(51, "application/x-bill", &images[1].manifest);
    let on_bill = images::artifact(52, "application/x-signature", &on_child.manifest);
    let by_tag = images::image(53);
    for image in [&on_index, &on_child, &on_bill, &by_tag] {
        add(store, image).await;
    }
    let tag = name(&format!("{}.sig", digest(&images[0].manifest).as_str().replace(':', "-")));
    store.tag(&tag, &by_tag.manifest).await.unwrap();
    let referrers = [on_index, on_child, on_bill, by_tag].map(|image| image.manifest).to_vec();
    (index, referrers, tag)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrers_survive_a_way_through_layouts() {
    let directory = tempfile::tempdir().unwrap();
    let (first, last) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let (_, referrers, tag) = signed(&first).await;
    let layouts = ["one", "two"].map(|d| LayoutStore::create(directory.path().join(d)).unwrap());
    let hops: [(Arc<dyn Store>, Arc<dyn Store>); 3] = [
        (Arc::new(first), Arc::new(layouts[0].clone())),
        (Arc::new(layouts[0].clone()), Arc::new(layouts[1].clone())),
        (Arc::new(layouts[1].clone()), Arc::new(last.clone())),
    ];
    for (from, to) in hops {
        let mut request = Request::new(from, to, Selector::Name(name("app")));
        request.names = vec![name("app")];
        request.referrers = WithReferrers::Yes;
        let copied = copy(request).await.unwrap();
        assert_eq!((copied.manifests, copied.referrers), (8, 4));
    }
    for referrer in &referrers {
        assert_whole(&last, referrer).await;
        if let Some(subject) = referrer.subject() {
            let listed = last.referrers(&subject.digest, None).await.unwrap();
            assert!(listed.iter().any(|found| found.digest == digest(referrer)));
        }
    }
    let tagged = last.resolve(&Selector::Name(tag)).await.unwrap();
    assert_eq!(tagged.descriptor.digest, digest(&referrers[3]));
}

#[tokio::test]
async fn referrers_stay_behind_unless_asked_for() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    signed(&from).await;
    let copied = copy(request(from, to.clone(), "app")).await.unwrap();
    assert_eq!((copied.manifests, copied.referrers), (4, 0));
    assert_eq!(to.names().await.unwrap(), [name("app")]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_transfer_goes_on_where_it_was_cut() {
    let cuts = [Fault::Cut(100_000), Fault::End(50_000), Fault::Cut(0), Fault::Cut(100_000)];
    let (from, to) = (Faulty::new(MemoryStore::new("a"), &cuts), MemoryStore::new("b"));
    let image = images::image(1);
    add(&from, &image).await;
    from.tag(&name("app"), &image.manifest).await.unwrap();
    let mut request = request(from.clone(), to.clone(), "app");
    request.jobs = 1;
    copy(request).await.unwrap();
    let layer = &image.blobs[2].0.digest;
    let offsets = from.fetched.lock().unwrap()[layer].clone();
    assert_eq!(offsets, [0, 100_000, 150_000, 150_000, 250_000], "no byte is fetched twice");
    assert_whole(&to, &image.manifest).await;
}

#[tokio::test(start_paused = true)]
async fn attempts_without_progress_come_to_an_end() {
    let cuts = [Fault::Cut(0); 50];
    let (from, to) = (Faulty::new(MemoryStore::new("a"), &cuts), MemoryStore::new("b"));
    let image = images::image(1);
    add(&from, &image).await;
    from.tag(&name("app"), &image.manifest).await.unwrap();
    let mut request = request(from.clone(), to.clone(), "app");
    request.jobs = 1;
    let error = copy(request).await.unwrap_err();
    assert!(matches!(error, StoreError::Interrupted { .. }), "{error}");
    let fetched: usize = from.fetched.lock().unwrap().values().map(Vec::len).sum();
    assert_eq!(fetched, MAX_ATTEMPTS as usize);
    assert_eq!(to.names().await.unwrap(), [], "a failed copy sets no name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_bytes_are_asked_for_once_more_and_blamed_on_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let image = images::image(1);
    for (flips, succeeds) in [(1, true), (2, false)] {
        let from = Faulty::new(MemoryStore::new("a"), &vec![Fault::Flip; flips]);
        add(&from, &image).await;
        from.tag(&name("app"), &image.manifest).await.unwrap();
        let to = LayoutStore::create(directory.path().join(flips.to_string())).unwrap();
        let mut request = request(from, to.clone(), "app");
        request.jobs = 1;
        let result = copy(request).await;
        if succeeds {
            result.unwrap();
            assert_whole(&to, &image.manifest).await;
        } else {
            let error = result.unwrap_err();
            let StoreError::Corrupt { place, object, .. } = &error else { panic!("{error}") };
            assert_eq!(
                (place.as_str(), object.as_str()),
                ("faulty", image.blobs[2].0.digest.as_str())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_copy_goes_on_where_a_failed_one_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let image = images::image(1);
    let source = MemoryStore::new("a");
    add(&source, &image).await;
    source.tag(&name("app"), &image.manifest).await.unwrap();
    let layer = &image.blobs[2].0;
    let to = LayoutStore::create(directory.path().join("to")).unwrap();
    // A first process that was killed after 200 000 bytes leaves them staged.
    let staged =
        directory.path().join("to/.corten/staged").join(layer.digest.as_str().replace(':', "-"));
    std::fs::write(&staged, &image.blobs[2].1[..200_000]).unwrap();
    let from = Faulty::new(source, &[]);
    copy(request(from.clone(), to.clone(), "app")).await.unwrap();
    assert_eq!(from.fetched.lock().unwrap()[&layer.digest], [200_000]);
    assert!(!staged.exists());
    assert_whole(&to, &image.manifest).await;
}

#[tokio::test]
async fn layers_not_to_be_distributed_are_left_out_when_the_source_lacks_them() {
    let store = MemoryStore::new("a");
    let image = images::image(1);
    let AnyDocument::Manifest(manifest) = &image.manifest else { panic!() };
    let mut manifest = manifest.value().clone();
    manifest.layers[0].media_type = MediaType::OCI_FOREIGN_GZIP;
    manifest.layers[0].urls = vec!["https://example.com/layer".to_owned()];
    let document = corten_spec::Document::write(MediaType::OCI_MANIFEST, manifest).unwrap();
    let document = AnyDocument::Manifest(document);
    for (blob, bytes) in [&image.blobs[0], &image.blobs[2]] {
        put(&store, blob, bytes).await.unwrap();
    }
    store.push(&document).await.unwrap();
    store.tag(&name("app"), &document).await.unwrap();
    let copied = copy(request(store.clone(), MemoryStore::new("b"), "app")).await.unwrap();
    assert_eq!((copied.sent.count, copied.skipped.count), (2, 1));
    let mut required = request(store, MemoryStore::new("c"), "app");
    required.foreign = Foreign::Require;
    let error = copy(required).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_blob_fails_the_copy_and_names_it() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let image = images::image(1);
    put(&from, &image.blobs[0].0, &image.blobs[0].1).await.unwrap();
    from.push(&image.manifest).await.unwrap();
    from.tag(&name("app"), &image.manifest).await.unwrap();
    let error = copy(request(from, to.clone(), "app")).await.unwrap_err();
    let StoreError::NotFound { object, place } = &error else { panic!("{error}") };
    assert!(image.blobs.iter().any(|(blob, _)| blob.digest.as_str() == object));
    assert_eq!(place, "memory:a");
    assert_eq!(to.names().await.unwrap(), []);
}

#[tokio::test]
async fn indexes_too_deep_in_each_other_are_refused() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let image = images::image(1);
    add(&from, &image).await;
    let mut top = image.manifest.clone();
    for depth in 2..=MAX_DEPTH + 1 {
        top = images::index(&[(&top, None)]);
        from.push(&top).await.unwrap();
        from.tag(&name(&format!("deep-{depth}")), &top).await.unwrap();
    }
    let legal = format!("deep-{MAX_DEPTH}");
    copy(request(from.clone(), to.clone(), &legal)).await.unwrap();
    let error =
        copy(request(from.clone(), to, &format!("deep-{}", MAX_DEPTH + 1))).await.unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
    let error = select(&from, &top, &platform("linux/amd64")).await.unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn shared_children_are_visited_once() {
    let store = MemoryStore::new("a");
    let image = images::image(1);
    add(&store, &image).await;
    let mut layer = vec![image.manifest.clone(), image.manifest.clone()];
    for _ in 0..MAX_DEPTH - 2 {
        // Both list both of the level below, so there are 2^depth ways down.
        let both = [(&layer[0], None), (&layer[1], None)];
        let first = images::index(&both);
        let second = images::index(&[both[1].clone(), both[0].clone(), both[1].clone()]);
        store.push(&first).await.unwrap();
        store.push(&second).await.unwrap();
        layer = vec![first, second];
    }
    let Graph { documents, blobs } = walk(&store, layer[0].descriptor()).await.unwrap();
    assert_eq!(blobs.len(), 3);
    assert!(documents.len() <= 2 * MAX_DEPTH);
    let place = |digest: &Digest| documents.iter().position(|d| d.descriptor().digest == *digest);
    for (at, document) in documents.iter().enumerate() {
        if let AnyDocument::Index(index) = document {
            let below = index.value().manifests.iter().map(|child| place(&child.digest).unwrap());
            assert!(below.max().unwrap() < at, "children stand before their parents");
        }
    }
}

#[tokio::test]
async fn an_index_of_blobs_is_copied_too() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let layers = [images::blob(1, 10_000), images::blob(2, 20_000)];
    for (blob, bytes) in &layers {
        put(&from, blob, bytes).await.unwrap();
    }
    let unknown = images::opaque(3);
    from.push(&unknown).await.unwrap();
    let mut entries: Vec<Descriptor> = layers.iter().map(|(blob, _)| blob.clone()).collect();
    entries.push(unknown.descriptor().clone());
    let index = corten_spec::Index::new(entries);
    let index = corten_spec::Document::write(MediaType::OCI_INDEX, index).unwrap();
    let index = AnyDocument::Index(index);
    from.push(&index).await.unwrap();
    from.tag(&name("cache"), &index).await.unwrap();
    let copied = copy(request(from, to.clone(), "cache")).await.unwrap();
    assert_eq!((copied.sent.count, copied.manifests), (2, 2));
    assert_whole(&to, &index).await;
}

#[derive(Default)]
struct Log(Mutex<Vec<Event>>);

impl Progress for Log {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn progress_tells_every_byte_and_every_end() {
    let (from, to) = (MemoryStore::new("a"), MemoryStore::new("b"));
    let image = images::image(1);
    add(&from, &image).await;
    from.tag(&name("app"), &image.manifest).await.unwrap();
    let log = Arc::new(Log::default());
    let mut request = request(from, to, "app");
    request.progress = log.clone();
    let copied = copy(request).await.unwrap();
    let events = log.0.lock().unwrap();
    let advanced = events.iter().map(|event| match event {
        Event::Advanced { bytes, .. } => *bytes,
        _ => 0,
    });
    assert_eq!(advanced.sum::<u64>(), copied.sent.bytes);
    let finished =
        |event: &&Event| matches!(event, Event::Finished { outcome: Outcome::Copied, .. });
    assert_eq!(events.iter().filter(finished).count(), 4, "three blobs and one manifest");
}

#[tokio::test]
async fn a_copy_without_names_is_kept_by_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let from = MemoryStore::new("a");
    let to = LayoutStore::create(directory.path()).unwrap();
    let image = images::image(1);
    add(&from, &image).await;
    let root = Selector::Digest(digest(&image.manifest));
    copy(Request::new(Arc::new(from), Arc::new(to.clone()), root)).await.unwrap();
    let entries = to.entries().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0].descriptor.digest, &entries[0].name),
        (&digest(&image.manifest), &None)
    );
}
