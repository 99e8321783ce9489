//! Reading from registries that behave as those of the field do, and worse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corten_registry::{Anonymous, Connection, Registry, Transport, catalog};
use corten_spec::{Descriptor, Digest, MediaType, RefName};
use corten_store::{ByteStream, Fetcher, Kind, Referrers, Resolver, Selector, Store, StoreError};
use futures_util::StreamExt;
use support::{Say, Scripted, Seen, chain, document, layer, manifest, quick, say};

async fn all(mut stream: ByteStream) -> Result<Vec<u8>, StoreError> {
    let mut whole = Vec::new();
    while let Some(bytes) = stream.next().await {
        whole.extend_from_slice(&bytes?);
    }
    Ok(whole)
}

fn named(name: &str) -> Selector {
    Selector::Name(RefName::parse(name).unwrap())
}

/// Serves one manifest as registries should.
fn serve_manifest(seen: &Seen) -> Say {
    let document = manifest();
    if !seen.target.contains("/manifests/") {
        return say(404);
    }
    say(200)
        .header("Content-Type", MediaType::OCI_MANIFEST)
        .header("Docker-Content-Digest", &document.descriptor().digest)
        .header("Content-Length", document.bytes().len())
        .body(document.bytes())
}

#[tokio::test]
async fn a_tag_costs_one_head_and_a_digest_one_get() {
    let server = Scripted::start(serve_manifest).await;
    let registry = server.registry();
    let wanted = manifest().descriptor().bare();
    let by_tag = registry.resolve(&named("v1")).await.unwrap();
    assert_eq!((&by_tag.descriptor, by_tag.document.is_some()), (&wanted, false));
    let by_digest = registry.resolve(&Selector::Digest(wanted.digest.clone())).await.unwrap();
    assert_eq!(by_digest.document.unwrap().bytes(), manifest().bytes());
    let get = format!("GET /v2/team/app/manifests/{}", wanted.digest);
    assert_eq!(server.lines(), ["HEAD /v2/team/app/manifests/v1".to_owned(), get]);
    assert!(server.seen()[0].header("accept").contains(MediaType::DOCKER_LIST.as_str()));
}

#[tokio::test]
async fn a_head_without_a_digest_is_followed_by_a_get() {
    let server = Scripted::start(|_| {
        say(200).header("Content-Type", "application/json").body(manifest().bytes())
    })
    .await;
    let mut value: serde_json::Value = serde_json::from_slice(manifest().bytes()).unwrap();
    assert_eq!(value["mediaType"].take(), MediaType::OCI_MANIFEST.as_str());
    let resolved = server.registry().resolve(&named("v1")).await.unwrap();
    assert_eq!(resolved.descriptor, manifest().descriptor().bare());
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_registry_that_lies_about_a_digest_is_named() {
    let lie = Digest::sha256(b"something else");
    let said = lie.clone();
    let server = Scripted::start(move |_| {
        say(200)
            .header("Content-Type", MediaType::OCI_MANIFEST)
            .header("Docker-Content-Digest", &said)
            .body(manifest().bytes())
    })
    .await;
    let wanted = manifest().descriptor().digest.clone();
    let error = server.registry().resolve(&Selector::Digest(wanted.clone())).await.unwrap_err();
    let host = &server.host;
    let text =
        format!("{wanted} from {host}/team/app is corrupt: the registry says that it is {lie}");
    assert_eq!(chain(&error), text);
}

#[tokio::test]
async fn wrong_bytes_under_a_tag_are_corrupt() {
    let server = Scripted::start(|seen| {
        let whole = serve_manifest(seen);
        if seen.method == "HEAD" {
            say(405)
        } else {
            whole.body(vec![b' '; manifest().bytes().len()])
        }
    })
    .await;
    let error = server.registry().resolve(&named("v1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn a_blob_is_read_whole_and_from_an_offset() {
    let (bytes, descriptor) = layer(100_000);
    let content = bytes.clone();
    let server = Scripted::start(move |seen| match seen.header("range") {
        "" => say(200).body(&content),
        range => {
            assert_eq!(range, "bytes=40000-");
            say(206).header("Content-Range", "bytes 40000-99999/100000").body(&content[40_000..])
        }
    })
    .await;
    let registry = server.registry();
    for offset in [0_usize, 40_000, 100_000] {
        let stream = registry.fetch(Kind::Blob, &descriptor, offset as u64).await.unwrap();
        assert_eq!(all(stream).await.unwrap(), &bytes[offset..], "{offset}");
    }
    assert_eq!(server.lines().len(), 2, "the end of a blob is known without asking");
}

#[tokio::test]
async fn a_whole_answer_to_a_request_for_a_part_is_cut_to_size() {
    let (bytes, descriptor) = layer(100_000);
    let content = bytes.clone();
    let server = Scripted::start(move |_| say(200).body(&content)).await;
    let stream = server.registry().fetch(Kind::Blob, &descriptor, 60_000).await.unwrap();
    assert_eq!(all(stream).await.unwrap(), &bytes[60_000..]);
}

#[tokio::test]
async fn a_part_that_begins_too_late_breaks_the_protocol() {
    let (bytes, descriptor) = layer(1000);
    let server = Scripted::start(move |_| {
        say(206).header("Content-Range", "bytes 600-999/1000").body(&bytes[600..])
    })
    .await;
    let error = server.registry().fetch(Kind::Blob, &descriptor, 500).await.err().unwrap();
    assert!(chain(&error).ends_with("asked for bytes from 500 on, it sends them from 600 on"));
}

#[tokio::test]
async fn a_blob_that_ends_before_the_offset_is_corrupt() {
    let (_, descriptor) = layer(1000);
    for (status, wanted) in [(416, "Corrupt"), (400, "Malformed")] {
        let server = Scripted::start(move |_| say(status)).await;
        let error = server.registry().fetch(Kind::Blob, &descriptor, 500).await.err().unwrap();
        assert!(format!("{error:?}").starts_with(wanted), "{error:?}");
    }
}

#[tokio::test]
async fn a_wrong_length_is_seen_before_the_first_byte() {
    let (bytes, descriptor) = layer(1000);
    let server = Scripted::start(move |_| say(200).body(&bytes[..999])).await;
    let registry = server.registry();
    let error = registry.fetch(Kind::Blob, &descriptor, 0).await.err().unwrap();
    let text = format!(
        "{} from {} is corrupt: it has 999 bytes there, and 1000 by its descriptor",
        descriptor.digest,
        registry.describe()
    );
    assert_eq!(chain(&error), text);
    let error = registry.exists(Kind::Blob, &descriptor).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }));
}

#[tokio::test]
async fn a_registry_that_has_something_else_under_a_digest_is_named() {
    let (bytes, descriptor) = layer(1000);
    let lie = Digest::sha256(b"something else");
    let said = lie.clone();
    let server =
        Scripted::start(move |_| say(200).header("Docker-Content-Digest", &said).body(&bytes[..]))
            .await;
    let registry = server.registry();
    let error = registry.exists(Kind::Blob, &descriptor).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let said = chain(&error);
    assert!(said.ends_with(&format!("says that it is {lie}")), "{said}");
    let error = registry.fetch(Kind::Blob, &descriptor, 0).await.err().unwrap();
    assert_eq!(chain(&error), said);
}

#[tokio::test]
async fn a_cut_is_an_interruption_after_the_bytes_that_came() {
    let (bytes, descriptor) = layer(100_000);
    let content = bytes.clone();
    let server = Scripted::start(move |_| say(200).body(&content).cut(30_000)).await;
    let mut stream = server.registry().fetch(Kind::Blob, &descriptor, 0).await.unwrap();
    let mut taken = Vec::new();
    let error = loop {
        match stream.next().await.expect("an error before the end") {
            Ok(chunk) => taken.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{}", chain(&error));
    assert_eq!(taken, &bytes[..30_000]);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn silence_in_the_middle_is_an_interruption() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        std::future::pending::<()>().await;
    });
    let mut settings = quick();
    settings.timeouts.stall = Duration::from_millis(50);
    let connection = Connection::new(settings, Arc::new(Anonymous)).unwrap();
    let location = corten_spec::Location { host, repository: "team/app".to_owned() };
    let registry = Registry::open(location, connection).unwrap();
    let descriptor = Descriptor::of(MediaType::OCI_LAYER, b"abcdefghij");
    let stream = registry.fetch(Kind::Blob, &descriptor, 0).await.unwrap();
    let error = all(stream).await.unwrap_err();
    assert!(error.is_transient());
    assert!(chain(&error).ends_with("nothing moved for 0.05 s"), "{}", chain(&error));
}

#[tokio::test]
async fn a_registry_in_trouble_is_asked_again() {
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        0 => say(500),
        1 => say(429).header("Retry-After", "0"),
        _ => serve_manifest(seen),
    })
    .await;
    server.registry().resolve(&named("v1")).await.unwrap();
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn trouble_that_lasts_is_told_in_the_words_of_the_registry() {
    let server = Scripted::start(|_| {
        say(503).body(r#"{"errors":[{"code":"UNAVAILABLE","message":"maintenance\u001b[31m"}]}"#)
    })
    .await;
    let registry = server.registry();
    let error = registry.names().await.unwrap_err();
    let text = format!(
        "{} cannot be reached: answered 503 Service Unavailable: UNAVAILABLE: maintenance [31m",
        registry.describe()
    );
    assert_eq!(chain(&error), text);
    assert_eq!(server.lines().len(), 3, "as many as the settings allow");
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_handed_on() {
    let server = Scripted::start(|_| say(429).header("Retry-After", "3600")).await;
    let error = server.registry().names().await.unwrap_err();
    let StoreError::RateLimited { wait, .. } = error else { panic!("{}", chain(&error)) };
    assert_eq!(wait, Some(Duration::from_secs(3600)));
    assert_eq!(server.lines().len(), 1, "nobody insists");
}

#[tokio::test]
async fn refusals_become_the_errors_they_are() {
    let status = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&status);
    let server = Scripted::start(move |_| {
        say(u16::try_from(current.load(Ordering::SeqCst)).unwrap()).body("<html>no</html>")
    })
    .await;
    let (_, descriptor) = layer(10);
    for (code, wanted) in [
        (404, "NotFound"),
        (403, "Denied"),
        (401, "Denied"),
        (400, "Malformed"),
        (405, "Unsupported"),
        (302, "Malformed"),
    ] {
        status.store(code, Ordering::SeqCst);
        let error = server.registry().fetch(Kind::Blob, &descriptor, 0).await.err().unwrap();
        assert!(format!("{error:?}").starts_with(wanted), "{code}: {error:?}");
        assert!(!chain(&error).contains("html"));
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = Scripted::start(|seen| say(307).header("Location", &seen.target)).await;
    let error = server.registry().names().await.unwrap_err();
    assert!(chain(&error).ends_with("it redirects without end"));
}

#[tokio::test]
async fn tags_of_all_pages_are_sorted_and_their_types_do_not_matter() {
    let server = Scripted::start(|seen| match seen.target.as_str() {
        "/v2/team/app/tags/list?n=1000" => say(200)
            .header("Link", "</v2/team/app/tags/list?last=b&n=2>; rel=\"next\"")
            .body(r#"{"name":"team/app","tags":["b","a"]}"#),
        "/v2/team/app/tags/list?last=b&n=2" => {
            say(200).header("Link", "<list?x=1>; rel=next").body(r#"{"tags":null}"#)
        }
        "/v2/team/app/tags/list?x=1" => say(200).body(r#"{"tags":["B","a"]}"#),
        other => panic!("{other}"),
    })
    .await;
    let names = server.registry().names().await.unwrap();
    let names: Vec<&str> = names.iter().map(RefName::as_str).collect();
    assert_eq!(names, ["B", "a", "b"]);
    assert!(server.seen()[0].header("accept").contains("application/json"));
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_are_left() {
    let server = Scripted::start(|_| {
        say(200).header("Link", "</v2/team/app/tags/list?n=1>; rel=next").body(r#"{"tags":["a"]}"#)
    })
    .await;
    let error = server.registry().names().await.unwrap_err();
    assert!(chain(&error).ends_with("its pages do not end"));
}

#[tokio::test]
async fn the_repositories_of_a_host_are_listed() {
    let server = Scripted::start(|seen| {
        assert_eq!(seen.target, "/v2/_catalog?n=1000");
        say(200).body(r#"{"repositories":["team/b","a"]}"#)
    })
    .await;
    let connection = Connection::new(quick(), Arc::new(Anonymous)).unwrap();
    assert_eq!(catalog(&server.host, connection).await.unwrap(), ["a", "team/b"]);
}

fn index(descriptors: &[&Descriptor]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": descriptors,
    }))
    .unwrap()
}

fn referrer(kind: &str) -> Descriptor {
    let mut descriptor = Descriptor::of(MediaType::OCI_MANIFEST, kind.as_bytes());
    descriptor.artifact_type = Some(MediaType::new(kind));
    descriptor
}

#[tokio::test]
async fn referrers_of_all_pages_are_filtered_here_where_the_registry_does_not() {
    let (a, b) = (referrer("a/a"), referrer("b/b"));
    let (first, second) = (index(&[&a, &b]), index(&[&b]));
    let server = Scripted::start(move |seen| {
        let answer = say(200).header("Content-Type", MediaType::OCI_INDEX);
        if seen.target.contains("page=2") {
            answer.body(&second)
        } else {
            answer.header("Link", "<?page=2>; rel=next").body(&first)
        }
    })
    .await;
    let subject = manifest().descriptor().digest.clone();
    let registry = server.registry();
    let all = registry.referrers(&subject, None).await.unwrap();
    assert_eq!(all, [a.clone(), b.clone(), b]);
    let some = registry.referrers(&subject, Some(&MediaType::new("a/a"))).await.unwrap();
    assert_eq!(some, [a]);
    let asked = format!("GET /v2/team/app/referrers/{subject}?artifactType=a/a");
    assert!(server.lines().contains(&asked), "{:?}", server.lines());
}

#[tokio::test]
async fn without_the_api_referrers_are_read_from_the_tag() {
    for (status, kind) in [(404, "application/json"), (200, "text/html"), (405, "text/plain")] {
        let listed = referrer("a/a");
        let list = index(&[&listed]);
        let server = Scripted::start(move |seen| {
            if seen.target.contains("/referrers/") {
                return say(status).header("Content-Type", kind).body("{}");
            }
            say(200).header("Content-Type", MediaType::OCI_INDEX).body(&list)
        })
        .await;
        let subject = manifest().descriptor().digest.clone();
        let registry = server.registry();
        for _ in 0..2 {
            assert_eq!(
                registry.referrers(&subject, None).await.unwrap(),
                std::slice::from_ref(&listed)
            );
        }
        let tag = format!("GET /v2/team/app/manifests/sha256-{}", subject.encoded());
        let api = format!("GET /v2/team/app/referrers/{subject}");
        assert_eq!(server.lines(), [api, tag.clone(), tag], "the API is tried once");
    }
}

#[tokio::test]
async fn a_subject_without_referrers_has_none() {
    let server = Scripted::start(|_| say(404)).await;
    let subject = manifest().descriptor().digest.clone();
    assert_eq!(server.registry().referrers(&subject, None).await.unwrap(), []);
}

#[tokio::test]
async fn a_layer_of_elsewhere_is_fetched_there_without_credentials() {
    let (bytes, mut descriptor) = layer(1000);
    let content = bytes.clone();
    let elsewhere = Scripted::start(move |_| say(200).body(&content)).await;
    let server = Scripted::start(|_| say(404)).await;
    descriptor.media_type = MediaType::DOCKER_FOREIGN_GZIP;
    descriptor.urls = vec!["ftp://example.com/x".to_owned(), elsewhere.url("/layer?x=1")];
    let stream = server.registry().fetch(Kind::Blob, &descriptor, 0).await.unwrap();
    assert_eq!(all(stream).await.unwrap(), bytes);
    assert_eq!(elsewhere.lines(), ["GET /layer?x=1"]);
    // A layer that may be distributed is looked for in its registry alone.
    descriptor.media_type = MediaType::OCI_LAYER;
    let error = server.registry().fetch(Kind::Blob, &descriptor, 0).await.err().unwrap();
    assert!(matches!(error, StoreError::NotFound { .. }));
}

#[tokio::test]
async fn a_loopback_port_without_tls_is_found_out_by_itself() {
    let server = Scripted::start(serve_manifest).await;
    let connection = Connection::new(Transport::default(), Arc::new(Anonymous)).unwrap();
    let registry = Registry::open(server.location("team/app"), connection).unwrap();
    registry.resolve(&named("v1")).await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/", "HEAD /v2/team/app/manifests/v1"]);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let connection = Connection::new(quick(), Arc::new(Anonymous)).unwrap();
    let location = corten_spec::Location { host, repository: "team/app".to_owned() };
    let registry = Registry::open(location, connection).unwrap();
    let error = registry.names().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn schema_1_is_refused_by_name() {
    let server = Scripted::start(|_| {
        say(200)
            .header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            .body("{}")
    })
    .await;
    let error = server.registry().resolve(&named("v1")).await.unwrap_err();
    assert!(chain(&error).contains("schema 1"), "{}", chain(&error));
}

#[tokio::test]
async fn a_manifest_larger_than_the_limit_is_not_read() {
    let server = Scripted::start(|_| {
        say(200)
            .header("Content-Type", MediaType::OCI_MANIFEST)
            .header("Content-Length", 1_u64 << 40)
    })
    .await;
    let error = server.registry().resolve(&named("v1")).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn a_manifest_is_compared_with_its_type_inside() {
    let mut inside = match manifest() {
        corten_spec::AnyDocument::Manifest(document) => document.value().clone(),
        _ => unreachable!(),
    };
    inside.media_type = Some(MediaType::DOCKER_MANIFEST);
    let bytes: Bytes = document(inside).bytes().clone();
    let server = Scripted::start(move |_| {
        say(200).header("Content-Type", MediaType::OCI_MANIFEST).body(&bytes)
    })
    .await;
    let error = server.registry().resolve(&named("v1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{}", chain(&error));
}
