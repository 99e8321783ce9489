//! Against the registry that most of the field runs, version 2.8. Skipped, in so many words, where
//! it is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use corten_registry::{Anonymous, Connection, Registry, Transport, catalog};
use corten_spec::{Location, RefName};
use corten_store::{
    Copied, Kind, Referrers, Request, Resolver, Selector, StoreError, Tagger, WithReferrers, copy,
    read_document, read_small,
};
use corten_testkit::images::{ImageMaker, TestImage, referrer};
use corten_testkit::{DockerRegistry, FaultProxy, Flow, Harm, Mischief, Strike, TestRegistry};

fn connect() -> Arc<Connection> {
    Connection::new(Transport::default(), Arc::new(Anonymous)).unwrap()
}

fn open(connection: &Arc<Connection>, host: &str, repository: &str) -> Registry {
    let location = Location { host: host.to_owned(), repository: repository.to_owned() };
    Registry::open(location, Arc::clone(connection)).unwrap()
}

fn v1() -> RefName {
    RefName::parse("v1").unwrap()
}

async fn copy_all(from: &Registry, to: &Registry) -> Result<Copied, StoreError> {
    let (from, to) = (Arc::new(from.clone()), Arc::new(to.clone()));
    let mut request = Request::new(from, to, Selector::Name(v1()));
    request.names = vec![v1()];
    request.referrers = WithReferrers::Yes;
    copy(request).await
}

fn index() -> TestImage {
    let one = ImageMaker::new().noise_layer(1, 3_000_000).noise_layer(2, 1000).build();
    let two = ImageMaker::new().platform("linux/arm64").noise_layer(3, 50_000).build();
    TestImage::index(&[one, two])
}

#[tokio::test]
async fn an_image_goes_there_and_back_with_what_refers_to_it() {
    let Some(peer) = DockerRegistry::start() else { return };
    let (source, sink) = (TestRegistry::start(), TestRegistry::start());
    let image = index();
    let signature = referrer(&image, "application/x-sig", "signed");
    source.seed("team/app", Some("v1"), &image);
    source.seed("team/app", None, &signature);
    let connection = connect();
    let from = open(&connection, &source.host(), "team/app");
    let there = open(&connection, peer.host(), "there/app");
    let back = open(&connection, &sink.host(), "back/app");
    let copied = copy_all(&from, &there).await.unwrap();
    assert_eq!((copied.referrers, copied.sent.count > 0), (1, true));
    let listed = there.referrers(image.digest(), None).await.unwrap();
    assert_eq!(listed.len(), 1, "under the tag: this registry has no referrers API");
    copy_all(&there, &back).await.unwrap();
    sink.assert_has("back/app", "v1", &image);
    assert!(sink.manifest("back/app", signature.digest().as_str()).is_some());
    let again = copy_all(&from, &there).await.unwrap();
    assert_eq!((again.sent.count, again.pushed), (0, 0), "a second copy sends nothing");
    let beside = open(&connection, peer.host(), "beside/app");
    let mounted = copy_all(&there, &beside).await.unwrap();
    assert_eq!(mounted.sent.count, 0, "within one registry nothing is sent");
    let repositories = catalog(peer.host(), Arc::clone(&connection)).await.unwrap();
    assert_eq!(repositories, ["beside/app", "there/app"]);
    let names = there.names().await.unwrap();
    assert!(names.contains(&v1()) && names.len() == 2, "{names:?}");
    let root = there.resolve(&Selector::Name(v1())).await.unwrap().descriptor;
    assert_eq!(read_document(&there, &root).await.unwrap().bytes(), image.root().bytes());
    let untagged = there.untag(&v1()).await;
    assert!(matches!(untagged, Err(StoreError::Unsupported { .. })), "{untagged:?}");
}

#[tokio::test]
async fn a_cut_upload_is_taken_up_again() {
    let Some(peer) = DockerRegistry::start() else { return };
    let source = TestRegistry::start();
    let image = ImageMaker::new().noise_layer(1, 30_000_000).build();
    source.seed("team/app", Some("v1"), &image);
    let cut = |at| Some(Strike { flow: Flow::Up, at, harm: Harm::Cut });
    // Whatever connection carries the upload, it is cut in it.
    let proxy = FaultProxy::start(peer.host(), Mischief::Scripted(vec![cut(20_000_000); 3]));
    let connection = connect();
    let from = open(&connection, &source.host(), "team/app");
    let to = open(&connection, &proxy.host(), "copy/app");
    copy_all(&from, &to).await.unwrap();
    assert!(!proxy.struck().is_empty(), "the upload was cut");
    let there = open(&connection, peer.host(), "copy/app");
    let (blob, bytes) = image.blobs().iter().max_by_key(|(blob, _)| blob.size).unwrap();
    let limit = ("a layer", 40_000_000);
    let read = read_small(&there, Kind::Blob, blob, limit).await.unwrap();
    assert!(read == bytes, "it is there byte for byte");
}
