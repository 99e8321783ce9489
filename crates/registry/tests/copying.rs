//! Whole images from registry to registry, through every fault that a network and a server have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use corten_registry::{
    Anonymous, Connection, Credential, Insecure, Keychain, Registry, Retry, Secret, Timeouts,
    Transport,
};
use corten_spec::{Location, RefName};
use corten_store::{Copied, Request, Selector, StoreError, WithReferrers, copy};
use corten_testkit::images::{ImageMaker, TestImage, referrer};
use corten_testkit::{Auth, Fault, FaultProxy, Feature, Harm, Mischief, Setup, TestRegistry};

/// Large enough to be cut in the middle, small enough for many copies.
const LAYER: u64 = 600_000;

fn transport() -> Transport {
    Transport {
        insecure: Insecure::PlainHttp,
        timeouts: Timeouts { stall: Duration::from_millis(700), ..Timeouts::default() },
        retry: Retry {
            attempts: 5,
            base: Duration::from_millis(2),
            longest: Duration::from_secs(2),
        },
        ..Transport::default()
    }
}

fn open(host: &str, repository: &str, keychain: Arc<dyn Keychain>) -> Registry {
    let connection = Connection::new(transport(), keychain).unwrap();
    let location = Location { host: host.to_owned(), repository: repository.to_owned() };
    Registry::open(location, connection).unwrap()
}

fn image(seed: u64) -> TestImage {
    ImageMaker::new().noise_layer(seed, LAYER).noise_layer(seed + 1, 10_000).build()
}

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

async fn copy_between(from: Registry, to: Registry) -> Result<Copied, StoreError> {
    let mut request = Request::new(Arc::new(from), Arc::new(to), Selector::Name(name("v1")));
    request.names = vec![name("v1")];
    copy(request).await
}

/// An image of one registry arrives whole in another, whatever one of the two does.
async fn arrives(source_fault: Option<(&str, usize, Fault)>, target: Option<(&str, usize, Fault)>) {
    let (source, sink) = (TestRegistry::start(), TestRegistry::start());
    let image = image(1);
    source.seed("team/app", Some("v1"), &image);
    for (registry, fault) in [(&source, source_fault), (&sink, target)] {
        if let Some((when, times, fault)) = fault {
            registry.fault(when, times, fault);
        }
    }
    let from = open(&source.host(), "team/app", Arc::new(Anonymous));
    let to = open(&sink.host(), "copy/app", Arc::new(Anonymous));
    copy_between(from, to).await.unwrap();
    sink.assert_has("copy/app", "v1", &image);
    assert!(source.faults_met() + sink.faults_met() > 0, "the fault was met");
}

#[tokio::test]
async fn a_source_in_trouble() {
    let pause = Duration::from_millis(1500);
    for (when, times, fault) in [
        ("GET /blobs/", 2, Fault::CutAnswer(5000)),
        ("GET /blobs/", 2, Fault::Shorten(5000)),
        ("GET /blobs/", 1, Fault::Corrupt(5000)),
        ("GET /blobs/", 1, Fault::Stall(5000, pause)),
        ("GET /blobs/", 2, Fault::Cut),
        ("GET /blobs/", 3, Fault::Status(500)),
        ("GET /blobs/", 3, Fault::RateLimited(0)),
        ("HEAD /manifests/", 2, Fault::Status(503)),
        ("HEAD /manifests/", 1, Fault::Without("docker-content-digest".to_owned())),
        ("HEAD /manifests/", 1, Fault::Without("content-length".to_owned())),
        ("GET /manifests/", 2, Fault::Cut),
        ("GET /manifests/", 2, Fault::CutAnswer(20)),
        ("GET /manifests/", 1, Fault::RateLimited(1)),
    ] {
        arrives(Some((when, times, fault)), None).await;
    }
}

#[tokio::test]
async fn a_target_in_trouble() {
    for (when, times, fault) in [
        ("PUT /blobs/uploads/", 1, Fault::CutRequest(100_000)),
        ("PUT /blobs/uploads/", 2, Fault::CutRequest(100_000)),
        ("PUT /blobs/uploads/", 1, Fault::CutAfter),
        ("PUT /blobs/uploads/", 2, Fault::Status(500)),
        ("PUT /blobs/uploads/", 2, Fault::RateLimited(0)),
        ("PUT /blobs/uploads/", 2, Fault::Cut),
        ("POST /blobs/uploads/", 2, Fault::Cut),
        ("POST /blobs/uploads/", 2, Fault::Status(503)),
        ("POST /blobs/uploads/", 9, Fault::RelativeLocation),
        ("POST /blobs/uploads/", 9, Fault::AbsoluteLocation),
        ("POST /blobs/uploads/", 9, Fault::LocationQuery("_state=a%2Fb".to_owned())),
        ("PUT /manifests/", 2, Fault::Cut),
        ("PUT /manifests/", 1, Fault::CutAfter),
        ("PUT /manifests/", 2, Fault::Status(502)),
        ("HEAD /blobs/", 2, Fault::Status(504)),
    ] {
        arrives(None, Some((when, times, fault))).await;
    }
}

#[tokio::test]
async fn a_cut_upload_sends_only_what_is_missing() {
    let (source, sink) = (TestRegistry::start(), TestRegistry::start());
    let image = ImageMaker::new().noise_layer(1, 30_000_000).build();
    source.seed("team/app", Some("v1"), &image);
    sink.fault("PUT /blobs/uploads/", 1, Fault::CutRequest(20_000_000));
    let from = open(&source.host(), "team/app", Arc::new(Anonymous));
    let to = open(&sink.host(), "copy/app", Arc::new(Anonymous));
    copy_between(from, to).await.unwrap();
    sink.assert_has("copy/app", "v1", &image);
    let received: u64 = sink.requests("PUT /blobs/uploads/").iter().map(|r| r.received).sum();
    assert!(received < 31_000_000, "{received} bytes were sent for one layer of 30 MB");
}

#[tokio::test]
async fn connections_that_break_anywhere() {
    for seed in 0..8 {
        let (source, sink) = (TestRegistry::start(), TestRegistry::start());
        let image = image(seed);
        source.seed("team/app", Some("v1"), &image);
        let plan = |seed| Mischief::Seeded {
            seed,
            chance: 60,
            within: LAYER,
            harms: vec![Harm::Cut, Harm::Cut, Harm::Stall(Duration::from_millis(900))],
            most: 4,
        };
        let before_source = FaultProxy::start(&source.host(), plan(seed));
        let before_sink = FaultProxy::start(&sink.host(), plan(seed + 1000));
        let from = open(&before_source.host(), "team/app", Arc::new(Anonymous));
        let to = open(&before_sink.host(), "copy/app", Arc::new(Anonymous));
        let copied = copy_between(from, to).await;
        copied.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        sink.assert_has("copy/app", "v1", &image);
    }
}

#[tokio::test]
async fn tokens_that_run_out_all_the_time() {
    let (user, password) = ("ann".to_owned(), "hunter2".to_owned());
    let secret = Secret::new(password.clone());
    let credential = Credential::Password { username: user.clone(), password: secret };
    let auth = Auth::Token { user, password };
    let sink = TestRegistry::with(Setup { auth, ..Setup::default() });
    let source = TestRegistry::start();
    let image = image(1);
    source.seed("team/app", Some("v1"), &image);
    let challenge = format!("Bearer realm=\"{}/token\",service=\"test-registry\"", sink.url());
    // Once each: a token that is refused right after it was given is a refusal.
    sink.fault("PUT /blobs/uploads/", 1, Fault::Unauthorized(challenge.clone()));
    sink.fault("PUT /manifests/", 1, Fault::Unauthorized(challenge));
    let from = open(&source.host(), "team/app", Arc::new(Anonymous));
    let to = open(&sink.host(), "copy/app", Arc::new(credential));
    copy_between(from, to.clone()).await.unwrap();
    sink.assert_has("copy/app", "v1", &image);
    sink.revoke_tokens();
    let from = open(&source.host(), "team/app", Arc::new(Anonymous));
    copy_between(from, to).await.unwrap();
}

#[tokio::test]
async fn within_one_registry_nothing_is_sent() {
    let server = TestRegistry::start();
    let image = image(1);
    server.seed("team/app", Some("v1"), &image);
    let from = open(&server.host(), "team/app", Arc::new(Anonymous));
    let to = open(&server.host(), "copy/app", Arc::new(Anonymous));
    let copied = copy_between(from, to).await.unwrap();
    assert_eq!((copied.mounted.count, copied.sent.count), (3, 0));
    server.assert_has("copy/app", "v1", &image);
    // The config alone is read: whether two readers would see two things in it.
    assert_eq!(server.requests("GET /blobs/").len(), 1);
}

#[tokio::test]
async fn a_registry_that_mounts_nothing_is_sent_everything() {
    let server = TestRegistry::with(Setup::default().without(Feature::Mounting));
    let image = image(1);
    server.seed("team/app", Some("v1"), &image);
    let from = open(&server.host(), "team/app", Arc::new(Anonymous));
    let to = open(&server.host(), "copy/app", Arc::new(Anonymous));
    let copied = copy_between(from, to).await.unwrap();
    assert_eq!((copied.mounted.count, copied.sent.count), (0, 3));
    server.assert_has("copy/app", "v1", &image);
}

#[tokio::test]
async fn referrers_go_along_with_and_without_the_api() {
    let without = Setup::default().without(Feature::Referrers);
    for (setup, fallback) in [(Setup::default(), false), (without, true)] {
        let source = TestRegistry::start();
        let sink = TestRegistry::with(setup);
        let (image, signed) = (image(1), referrer(&image(1), "application/x-sig", "signed"));
        source.seed("team/app", Some("v1"), &image);
        source.seed("team/app", None, &signed);
        let from = open(&source.host(), "team/app", Arc::new(Anonymous));
        let to = open(&sink.host(), "copy/app", Arc::new(Anonymous));
        let selector = Selector::Name(name("v1"));
        let mut request = Request::new(Arc::new(from), Arc::new(to), selector);
        request.referrers = WithReferrers::Yes;
        request.names = vec![name("v1")];
        let copied = copy(request).await.unwrap();
        assert_eq!(copied.referrers, 1);
        let digest = signed.digest().as_str();
        assert!(sink.manifest("copy/app", digest).is_some());
        let tag = corten_spec::Tag::of_referrers(image.digest()).to_string();
        assert_eq!(sink.tags("copy/app").contains(&tag), fallback);
    }
}

#[tokio::test]
async fn lies_are_found_and_the_liar_is_named() {
    for (when, fault) in [
        ("GET /blobs/", Fault::Corrupt(5000)),
        ("GET /blobs/", Fault::Length(5000)),
        ("GET /blobs/", Fault::lying_digest()),
        ("GET /manifests/", Fault::Corrupt(30)),
        ("GET /manifests/", Fault::lying_digest()),
    ] {
        let (source, sink) = (TestRegistry::start(), TestRegistry::start());
        source.seed("team/app", Some("v1"), &image(1));
        source.always(when, fault);
        let from = open(&source.host(), "team/app", Arc::new(Anonymous));
        let to = open(&sink.host(), "copy/app", Arc::new(Anonymous));
        let error = copy_between(from, to).await.unwrap_err();
        let StoreError::Corrupt { place, .. } = &error else { panic!("{when}: {error:?}") };
        assert_eq!(*place, format!("{}/team/app", source.host()));
        assert!(sink.tags("copy/app").is_empty(), "nothing is named");
    }
}

#[tokio::test]
async fn bytes_without_end_come_to_an_end() {
    for when in ["GET /blobs/", "GET /manifests/", "GET /tags/", "GET /referrers/"] {
        let (source, sink) = (TestRegistry::start(), TestRegistry::start());
        source.seed("team/app", Some("v1"), &image(1));
        source.always(when, Fault::Endless);
        let from = open(&source.host(), "team/app", Arc::new(Anonymous));
        let to = open(&sink.host(), "copy/app", Arc::new(Anonymous));
        let selector = Selector::Name(name("v1"));
        let mut request = Request::new(Arc::new(from), Arc::new(to), selector);
        request.referrers = WithReferrers::Yes;
        let error = copy(request).await.unwrap_err();
        assert!(
            matches!(error, StoreError::TooLarge { .. } | StoreError::Corrupt { .. }),
            "{when}: {error:?}"
        );
    }
}
