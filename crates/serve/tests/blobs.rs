//! Pushing, reading, mounting and deleting blobs, as distribution-spec describes them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, dead_code)]

mod asker;

use asker::Asker;
use corten_serve::{Locations, ServerOptions, Switch};
use corten_spec::{Algorithm, Digest};

fn asker() -> Asker {
    Asker::new(ServerOptions::default())
}

async fn started(asker: &Asker, name: &str) -> String {
    let answer = asker.ask(&format!("POST /v2/{name}/blobs/uploads/"), &[], b"").await;
    assert_eq!(answer.verdict(), "202");
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_registry_says_that_it_is_one() {
    let answer = asker().get("/v2/").await;
    assert_eq!(answer.verdict(), "200");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
}

#[tokio::test]
async fn a_blob_pushed_whole_is_read_back_under_each_algorithm() {
    for algorithm in Algorithm::ALL {
        let (asker, digest) = (asker(), Digest::of(algorithm, b"hello"));
        let pushed = asker.blob("a/b", &digest, b"hello").await;
        assert_eq!(pushed.verdict(), "201");
        let place = format!("/v2/a/b/blobs/{digest}");
        assert_eq!(pushed.header("location"), Some(place.as_str()));
        let read = asker.get(&place).await;
        assert_eq!((read.verdict().as_str(), read.body.as_ref()), ("200", b"hello".as_slice()));
        assert_eq!(read.header("docker-content-digest"), Some(digest.as_str()));
        let head = asker.ask(&format!("HEAD {place}"), &[], b"").await;
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
        assert!(head.body.is_empty());
        assert_eq!(asker.get(&place.replace("a/b", "a/c")).await.verdict(), "404 BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn a_blob_pushed_by_post_then_put_is_read_back() {
    let (asker, digest) = (asker(), Digest::sha256(b"hello"));
    let session = started(&asker, "a").await;
    let put = asker.ask(&format!("PUT {session}?digest={digest}"), &[], b"hello").await;
    assert_eq!(put.verdict(), "201");
    assert_eq!(put.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(asker.get(&format!("/v2/a/blobs/{digest}")).await.body.as_ref(), b"hello");
    let gone = asker.get(&session).await;
    assert_eq!(gone.verdict(), "404 BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn chunks_come_in_order_and_the_status_tells_how_far_they_are() {
    let (asker, digest) = (asker(), Digest::of(Algorithm::Sha512, b"hello world"));
    let start = "POST /v2/a/blobs/uploads/?digest-algorithm=sha512";
    let session = asker.ask(start, &["content-length: 0"], b"").await;
    let session = session.header("location").unwrap().to_owned();
    let patch = format!("PATCH {session}");
    let first = asker.ask(&patch, &["content-range: 0-4"], b"hello").await;
    assert_eq!((first.status, first.header("range")), (202, Some("0-4")));
    for (range, body) in [("0-4", "hello"), ("6-10", "world"), ("x", "y"), ("5-", "y")] {
        let range = format!("content-range: {range}");
        let wrong = asker.ask(&patch, &[&range], body.as_bytes()).await;
        assert_eq!(wrong.verdict(), "416 BLOB_UPLOAD_INVALID", "{range}");
    }
    let short = asker.ask(&patch, &["content-range: 5-9"], b"abc").await;
    assert_eq!(short.verdict(), "400 SIZE_INVALID");
    let status = asker.get(&session).await;
    assert_eq!((status.status, status.header("range")), (204, Some("0-4")));
    assert_eq!(status.header("location"), Some(session.as_str()));
    let next = asker.ask(&patch, &[], b" wor").await;
    assert_eq!((next.status, next.header("range")), (202, Some("0-8")));
    let put = format!("PUT {session}?digest={digest}");
    let wrong = asker.ask(&put, &["content-range: 8-9"], b"ld").await;
    assert_eq!(wrong.verdict(), "416 BLOB_UPLOAD_INVALID");
    let done = asker.ask(&put, &["content-range: 9-10"], b"ld").await;
    assert_eq!(done.verdict(), "201");
    assert_eq!(asker.get(&format!("/v2/a/blobs/{digest}")).await.body.as_ref(), b"hello world");
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_dropped() {
    let (asker, digest) = (asker(), Digest::sha256(b"hello"));
    assert_eq!(asker.blob("a", &digest, b"other").await.verdict(), "400 DIGEST_INVALID");
    let session = started(&asker, "a").await;
    let put = asker.ask(&format!("PUT {session}?digest={digest}"), &[], b"other").await;
    assert_eq!(put.verdict(), "400 DIGEST_INVALID");
    assert_eq!(asker.memory.uploads(), 0);
    assert_eq!(asker.get(&format!("/v2/a/blobs/{digest}")).await.verdict(), "404 BLOB_UNKNOWN");
    for bad in ["", "?digest=", "?digest=sha256:abc", "?digest=md5:abc"] {
        let session = started(&asker, "a").await;
        let put = asker.ask(&format!("PUT {session}{bad}"), &[], b"hello").await;
        assert_eq!(put.verdict(), "400 DIGEST_INVALID", "{bad}");
    }
    let post = asker.ask("POST /v2/a/blobs/uploads/?digest=md5:abc", &[], b"x").await;
    assert_eq!(post.verdict(), "400 DIGEST_INVALID");
}

#[tokio::test]
async fn an_upload_is_cancelled_and_known_only_to_its_repository() {
    let asker = asker();
    let session = started(&asker, "a").await;
    let other = session.replace("/v2/a/", "/v2/b/");
    for line in ["GET", "DELETE", "PATCH"] {
        let answer = asker.ask(&format!("{line} {other}"), &[], b"").await;
        assert_eq!(answer.verdict(), "404 BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(asker.ask(&format!("DELETE {session}"), &[], b"").await.verdict(), "204");
    let again = asker.ask(&format!("DELETE {session}"), &[], b"").await;
    assert_eq!(again.verdict(), "404 BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn ranges_of_a_blob_are_served() {
    let (asker, digest) = (asker(), Digest::sha256(b"0123456789"));
    asker.blob("a", &digest, b"0123456789").await;
    let line = format!("GET /v2/a/blobs/{digest}");
    let cases = [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-99", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("lines=0-1", 200, "0123456789", None),
    ];
    for (range, status, body, content_range) in cases {
        let answer = asker.ask(&line, &[&format!("range: {range}")], b"").await;
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.body.as_ref(), body.as_bytes(), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
    }
    let beyond = asker.ask(&line, &["range: bytes=10-"], b"").await;
    assert_eq!(beyond.verdict(), "416 RANGE_INVALID");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    let other = asker.ask(&line, &["range: bytes=7-", "if-range: \"sha256:x\""], b"").await;
    assert_eq!(other.status, 200);
    let same = format!("if-range: \"{digest}\"");
    assert_eq!(asker.ask(&line, &["range: bytes=7-", &same], b"").await.status, 206);
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_is() {
    let (asker, digest) = (asker(), Digest::sha256(b"hello"));
    asker.blob("a", &digest, b"hello").await;
    for (target, from) in [("b", "&from=a"), ("c/d", "")] {
        let line = format!("POST /v2/{target}/blobs/uploads/?mount={digest}{from}");
        let mounted = asker.ask(&line, &[], b"").await;
        assert_eq!(mounted.verdict(), "201", "{line}");
        let place = format!("/v2/{target}/blobs/{digest}");
        assert_eq!(mounted.header("location"), Some(place.as_str()));
        assert_eq!(asker.get(&place).await.status, 200);
    }
    let line = format!("POST /v2/e/blobs/uploads/?mount={digest}&from=nowhere");
    let session = asker.ask(&line, &[], b"").await;
    assert_eq!(session.verdict(), "202");
    assert!(session.header("location").unwrap().starts_with("/v2/e/blobs/uploads/"));
}

#[tokio::test]
async fn what_is_switched_off_falls_back_as_the_specification_says() {
    let off = Switch::Off;
    let options = ServerOptions {
        single_post: off,
        mounting: off,
        deletion: off,
        ..ServerOptions::default()
    };
    let options = ServerOptions { locations: Locations::Absolute, chunk_min: Some(7), ..options };
    let (asker, digest) = (Asker::new(options), Digest::sha256(b"hello"));
    let post = asker.blob("a", &digest, b"hello").await;
    assert_eq!((post.status, post.header("oci-chunk-min-length")), (202, Some("7")));
    let session = post.header("location").unwrap();
    assert!(session.starts_with("http://test:1/v2/a/blobs/uploads/"), "{session}");
    let put = format!("PUT {}?digest={digest}", session.trim_start_matches("http://test:1"));
    assert_eq!(asker.ask(&put, &[], b"hello").await.verdict(), "201");
    let mount = format!("POST /v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(asker.ask(&mount, &[], b"").await.verdict(), "202");
    let delete = asker.ask(&format!("DELETE /v2/a/blobs/{digest}"), &[], b"").await;
    assert_eq!(delete.verdict(), "405 UNSUPPORTED");
}

#[tokio::test]
async fn a_deleted_blob_is_gone() {
    let (asker, digest) = (asker(), Digest::sha256(b"hello"));
    asker.blob("a", &digest, b"hello").await;
    let line = format!("DELETE /v2/a/blobs/{digest}");
    assert_eq!(asker.ask(&line, &[], b"").await.verdict(), "202");
    assert_eq!(asker.ask(&line, &[], b"").await.verdict(), "404 BLOB_UNKNOWN");
    assert_eq!(asker.get(&format!("/v2/a/blobs/{digest}")).await.verdict(), "404 BLOB_UNKNOWN");
}

#[tokio::test]
async fn limits_of_blobs_and_uploads_hold() {
    let mut options = ServerOptions::default();
    options.limits.blob = 4;
    options.limits.uploads = 1;
    let (asker, digest) = (Asker::new(options), Digest::sha256(b"hello"));
    assert_eq!(asker.blob("a", &digest, b"hello").await.verdict(), "413 SIZE_INVALID");
    let session = started(&asker, "a").await;
    let patch = asker.ask(&format!("PATCH {session}"), &[], b"hello").await;
    assert_eq!(patch.verdict(), "413 SIZE_INVALID");
    let second = asker.ask("POST /v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!(second.verdict(), "429 TOOMANYREQUESTS");
    assert_eq!(second.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn an_unknown_algorithm_starts_no_upload() {
    let line = "POST /v2/a/blobs/uploads/?digest-algorithm=md5";
    assert_eq!(asker().ask(line, &[], b"").await.verdict(), "400 DIGEST_INVALID");
}
