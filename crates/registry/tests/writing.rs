//! Writing to registries with all the habits of the field: sessions that move, chunks, cuts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use corten_registry::{Credential, Secret};
use corten_spec::{Descriptor, Digest, MediaType, RefName};
use corten_store::{Begun, Ingest, Ingester, Pusher, StoreError, Tagger};
use support::{Say, Scripted, Seen, chain, layer, manifest, say};

/// Bytes of one `append`.
const STEP: usize = 256 * 1024;

/// How often a test goes on after an interruption.
const TRIES: usize = 6;

/// Sends `bytes` as a copy does: on from where the ingest says, again after an interruption.
async fn pour(ingest: &mut dyn Ingest, bytes: &Bytes) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        match once(ingest, bytes).await {
            Err(error) if error.is_transient() && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn once(ingest: &mut dyn Ingest, bytes: &Bytes) -> Result<(), StoreError> {
    let mut at = usize::try_from(ingest.resume().await?).unwrap();
    while at < bytes.len() {
        let end = bytes.len().min(at + STEP);
        ingest.append(bytes.slice(at..end)).await?;
        at = end;
    }
    ingest.commit().await
}

async fn begin(server: &Scripted, blob: &Descriptor) -> Box<dyn Ingest> {
    match server.registry().begin(blob, None).await.unwrap() {
        Begun::Ingest(ingest) => ingest,
        Begun::Present => panic!("present"),
        Begun::Mounted => panic!("mounted"),
    }
}

/// Takes blobs as the specification says, keeping what each session got.
#[derive(Clone, Default)]
struct Uploads {
    taken: Arc<Mutex<Vec<u8>>>,
    step: Arc<AtomicUsize>,
}

impl Uploads {
    /// The number of this request among those that changed something.
    fn number(&self) -> usize {
        self.step.fetch_add(1, Ordering::SeqCst)
    }

    fn take(&self, seen: &Seen) {
        let mut taken = self.taken.lock().unwrap();
        if let Some((first, last)) = seen.header("content-range").split_once('-') {
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(first, taken.len(), "chunks come in order");
            assert_eq!(last + 1 - first, seen.body.len());
        }
        taken.extend_from_slice(&seen.body);
    }

    fn location(&self, seen: &Seen) -> Say {
        // Every answer moves the session, as some registries do.
        let name = self.number();
        assert!(!seen.target.contains("//"));
        say(202).header("Location", format!("/v2/team/app/blobs/uploads/s{name}?state=a%2Fb"))
    }

    fn is_whole(&self, blob: &Descriptor) -> bool {
        let taken = self.taken.lock().unwrap();
        taken.len() as u64 == blob.size && Digest::sha256(&taken) == blob.digest
    }
}

#[tokio::test]
async fn a_blob_goes_in_one_request() {
    for size in [0, 1, 1000, STEP, 3 * STEP + 17] {
        let (bytes, blob) = layer(size);
        let uploads = Uploads::default();
        let state = uploads.clone();
        let server = Scripted::start(move |seen| match seen.method.as_str() {
            "HEAD" => say(404),
            "POST" => state.location(seen),
            _ => {
                state.take(seen);
                say(201)
            }
        })
        .await;
        let mut ingest = begin(&server, &blob).await;
        pour(ingest.as_mut(), &bytes).await.unwrap();
        assert!(uploads.is_whole(&blob), "{size}");
        let digest = blob.digest.as_str().replace(':', "%3A");
        let wanted = [
            format!("HEAD /v2/team/app/blobs/{}", blob.digest),
            "POST /v2/team/app/blobs/uploads/".to_owned(),
            format!("PUT /v2/team/app/blobs/uploads/s0?state=a%2Fb&digest={digest}"),
        ];
        assert_eq!(server.lines(), wanted);
        assert_eq!(server.seen()[2].header("content-length"), size.to_string());
        assert_eq!(server.seen()[2].header("content-range"), "");
    }
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let (_, blob) = layer(10);
    let server = Scripted::start(|_| say(200).header("Content-Length", 10)).await;
    let begun = server.registry().begin(&blob, None).await.unwrap();
    assert!(matches!(begun, Begun::Present));
}

#[tokio::test]
async fn a_registry_never_gets_a_whole_wrong_blob() {
    let (bytes, _) = layer(3 * STEP);
    let blob = Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(b"x"), bytes.len() as u64);
    let uploads = Uploads::default();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" => say(404),
        _ => uploads.location(seen),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    let error = pour(ingest.as_mut(), &bytes).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{}", chain(&error));
    assert_eq!(ingest.resume().await.unwrap(), 0);
    drop(ingest);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(server.seen().iter().all(|seen| seen.method != "PUT"), "none arrived whole");
}

#[tokio::test]
async fn too_many_bytes_are_refused_before_they_are_sent() {
    let (bytes, blob) = layer(1000);
    let uploads = Uploads::default();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" => say(404),
        _ => uploads.location(seen),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    ingest.resume().await.unwrap();
    ingest.append(bytes).await.unwrap();
    let error = ingest.append(Bytes::from_static(b"more")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{}", chain(&error));
}

/// The chunked way: every PUT with a body gets `refusal`.
async fn in_chunks(begin_with: impl Fn(Say) -> Say + Send + Sync + 'static, refusal: Say) {
    let (bytes, blob) = layer(20 * 1024 * 1024 + 5);
    let uploads = Uploads::default();
    let state = uploads.clone();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" => say(404),
        "POST" => begin_with(state.location(seen)),
        "PUT" if !seen.body.is_empty() => refusal.clone(),
        "GET" => say(204).header("Range", "0-0"),
        "PUT" => say(201),
        "PATCH" => {
            state.take(seen);
            // The range of the first chunk, for ever: a habit of the field.
            state.location(seen).header("Range", "0-8388607")
        }
        _ => say(404),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    pour(ingest.as_mut(), &bytes).await.unwrap();
    assert!(uploads.is_whole(&blob));
    let patches = server.seen().into_iter().filter(|seen| seen.method == "PATCH");
    let ranges: Vec<String> = patches.map(|seen| seen.header("content-range").to_owned()).collect();
    assert_eq!(ranges, ["0-8388607", "8388608-16777215", "16777216-20971524"]);
    let last = server.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), last.header("content-length")), ("PUT", "0"));
}

#[tokio::test]
async fn where_one_request_is_too_large_a_blob_goes_in_chunks() {
    in_chunks(|answer| answer, say(413)).await;
}

#[tokio::test]
async fn a_registry_that_asks_for_chunks_gets_them() {
    in_chunks(|answer| answer.header("OCI-Chunk-Min-Length", 1024 * 1024), say(400)).await;
}

#[tokio::test]
async fn where_large_requests_just_break_a_blob_goes_in_chunks() {
    in_chunks(|answer| answer, say(0).lost()).await;
}

#[tokio::test]
async fn an_upload_goes_on_from_where_the_registry_says() {
    let (bytes, blob) = layer(20 * 1024 * 1024);
    let had = 9_000_000;
    let uploads = Uploads::default();
    let (state, content) = (uploads.clone(), bytes.clone());
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" => say(404),
        "POST" => state.location(seen),
        "PUT" if seen.header("content-range").is_empty() => {
            *state.taken.lock().unwrap() = content[..had].to_vec();
            say(500)
        }
        "GET" => {
            let range = format!("0-{}", had - 1);
            let location = "/v2/team/app/blobs/uploads/again";
            say(204).header("Range", range).header("Location", location)
        }
        _ => {
            state.take(seen);
            say(201)
        }
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    pour(ingest.as_mut(), &bytes).await.unwrap();
    assert!(uploads.is_whole(&blob));
    let last = server.seen().pop().unwrap();
    assert!(last.target.starts_with("/v2/team/app/blobs/uploads/again?digest="));
    assert_eq!(last.header("content-range"), format!("{had}-{}", bytes.len() - 1));
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced() {
    let (bytes, blob) = layer(3 * STEP);
    let uploads = Uploads::default();
    let state = uploads.clone();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "POST" => state.location(seen),
        "PUT" if state.number() == 1 => say(502),
        "PUT" => {
            state.take(seen);
            say(204)
        }
        _ => say(404),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    pour(ingest.as_mut(), &bytes).await.unwrap();
    assert!(uploads.is_whole(&blob));
    let posts = server.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_send_the_blob_again() {
    let (bytes, blob) = layer(3 * STEP);
    let uploads = Uploads::default();
    let (state, size) = (uploads.clone(), blob.size);
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" if state.taken.lock().unwrap().is_empty() => say(404),
        "HEAD" => say(200).header("Content-Length", size),
        "POST" => state.location(seen),
        "PUT" => {
            state.take(seen);
            say(201).lost()
        }
        _ => say(404),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    pour(ingest.as_mut(), &bytes).await.unwrap();
    let puts = server.seen().iter().filter(|seen| seen.method == "PUT").count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn a_registry_that_stays_in_trouble_is_left() {
    let (bytes, blob) = layer(3 * STEP);
    let uploads = Uploads::default();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "POST" => uploads.location(seen),
        "PUT" => say(500).body(r#"{"errors":[{"code":"UNKNOWN","message":"disk full"}]}"#),
        _ => say(404),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    let error = pour(ingest.as_mut(), &bytes).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(chain(&error).ends_with("UNKNOWN: disk full"), "{}", chain(&error));
}

#[tokio::test]
async fn a_refusal_is_not_argued_with() {
    let (bytes, blob) = layer(3 * STEP);
    let uploads = Uploads::default();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "POST" => uploads.location(seen),
        "PUT" => say(403).body(r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#),
        _ => say(404),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    let error = pour(ingest.as_mut(), &bytes).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(chain(&error).ends_with("DENIED: quota exceeded"));
    assert_eq!(server.seen().iter().filter(|seen| seen.method == "PUT").count(), 1);
}

#[tokio::test]
async fn a_token_that_runs_out_during_an_upload_is_renewed() {
    let (bytes, blob) = layer(3 * STEP);
    let uploads = Uploads::default();
    let (state, tokens) = (uploads.clone(), AtomicUsize::new(0));
    let server = Scripted::start(move |seen| {
        if seen.target.starts_with("/token") {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return say(200).body(format!("{{\"token\":\"t{number}\",\"expires_in\":300}}"));
        }
        let realm = format!("http://{}/token", seen.header("host"));
        let challenge = format!("Bearer realm=\"{realm}\"");
        match (seen.method.as_str(), seen.header("authorization")) {
            (_, "") => say(401).header("WWW-Authenticate", challenge),
            ("PUT", "Bearer t1") | ("GET", "Bearer t1") => {
                say(401).header("WWW-Authenticate", challenge)
            }
            ("POST", _) => state.location(seen),
            ("GET", _) => say(204).header("Range", "0-0"),
            ("PUT", _) => {
                state.take(seen);
                say(201)
            }
            _ => say(404),
        }
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    pour(ingest.as_mut(), &bytes).await.unwrap();
    assert!(uploads.is_whole(&blob));
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_named() {
    let (bytes, blob) = layer(1000);
    let uploads = Uploads::default();
    let lie = Digest::sha256(b"something else");
    let said = lie.clone();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "HEAD" => say(404),
        "POST" => uploads.location(seen),
        _ => say(201).header("Docker-Content-Digest", &said),
    })
    .await;
    let mut ingest = begin(&server, &blob).await;
    let error = pour(ingest.as_mut(), &bytes).await.unwrap_err();
    let host = &server.host;
    let text =
        format!("{} from {host}/team/app is corrupt: the registry stored it as {lie}", blob.digest);
    assert_eq!(chain(&error), text);
}

#[tokio::test]
async fn a_mount_is_asked_for_and_done_without() {
    let (bytes, blob) = layer(1000);
    for status in [201, 202, 405] {
        let uploads = Uploads::default();
        let state = uploads.clone();
        let server = Scripted::start(move |seen| match seen.method.as_str() {
            "HEAD" => say(404),
            "POST" if seen.target.contains("mount") && status == 405 => say(405),
            "POST" if seen.target.contains("mount") && status == 201 => say(201),
            "POST" => state.location(seen),
            _ => {
                state.take(seen);
                say(201)
            }
        })
        .await;
        let registry = server.registry();
        let origin = server.location("team/base");
        match registry.begin(&blob, Some(&origin)).await.unwrap() {
            Begun::Mounted => assert_eq!(status, 201),
            Begun::Ingest(mut ingest) => {
                assert_ne!(status, 201);
                pour(ingest.as_mut(), &bytes).await.unwrap();
                assert!(uploads.is_whole(&blob));
            }
            Begun::Present => panic!("present"),
        }
        let posts: Vec<String> =
            server.lines().into_iter().filter(|line| line.starts_with("POST")).collect();
        let digest = &blob.digest;
        let mount = format!("POST /v2/team/app/blobs/uploads/?mount={digest}&from=team/base");
        let start = "POST /v2/team/app/blobs/uploads/".to_owned();
        let wanted = if status == 405 { vec![mount, start] } else { vec![mount] };
        assert_eq!(posts, wanted);
    }
}

#[tokio::test]
async fn a_mount_asks_for_a_token_for_both_repositories() {
    let (_, blob) = layer(10);
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            return say(200).body(r#"{"token":"t","expires_in":300}"#);
        }
        let realm = format!("http://{}/token", seen.header("host"));
        match (seen.method.as_str(), seen.header("authorization")) {
            (_, "") => say(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
            ("POST", _) => say(201),
            _ => say(404),
        }
    })
    .await;
    let origin = server.location("team/base");
    let password = Secret::new("x");
    let credential = Credential::Password { username: "ann".into(), password };
    let registry = server.registry_for(Arc::new(credential));
    let begun = registry.begin(&blob, Some(&origin)).await.unwrap();
    assert!(matches!(begun, Begun::Mounted));
    let tokens: Vec<String> =
        server.lines().into_iter().filter(|line| line.contains("/token")).collect();
    let (app, base) = ("repository%3Ateam%2Fapp%3Apull", "repository%3Ateam%2Fbase%3Apull");
    let wanted = [
        format!("GET /token?account=ann&scope={app}"),
        format!("GET /token?account=ann&scope={app}%2Cpush&scope={base}"),
    ];
    assert_eq!(tokens, wanted);
}

#[tokio::test]
async fn a_manifest_goes_byte_for_byte_under_digest_and_tag() {
    let server = Scripted::start(|_| say(201)).await;
    let (registry, document) = (server.registry(), manifest());
    registry.push(&document).await.unwrap();
    registry.tag(&RefName::parse("v1").unwrap(), &document).await.unwrap();
    let digest = &document.descriptor().digest;
    let lines = [
        format!("PUT /v2/team/app/manifests/{digest}"),
        "PUT /v2/team/app/manifests/v1".to_owned(),
    ];
    assert_eq!(server.lines(), lines);
    for seen in server.seen() {
        assert_eq!(seen.body, document.bytes().to_vec());
        assert_eq!(seen.header("content-type"), MediaType::OCI_MANIFEST.as_str());
    }
    let name = RefName::parse("example.com/team/app:v1").unwrap();
    let error = registry.tag(&name, &document).await.unwrap_err();
    assert!(matches!(error, StoreError::Unsupported { .. }));
}

#[tokio::test]
async fn a_manifest_that_is_refused_says_why() {
    let server = Scripted::start(|_| {
        say(404).body(r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"no config"}]}"#)
    })
    .await;
    let error = server.registry().push(&manifest()).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(chain(&error).ends_with("MANIFEST_BLOB_UNKNOWN: no config"));
}

#[tokio::test]
async fn a_tag_is_taken_away_where_that_is_possible() {
    for (status, wanted) in [(202, "Ok"), (404, "Err(NotFound"), (405, "Err(Unsupported")] {
        let server = Scripted::start(move |_| say(status)).await;
        let outcome = server.registry().untag(&RefName::parse("v1").unwrap()).await;
        assert!(format!("{outcome:?}").starts_with(wanted), "{status}: {outcome:?}");
        assert_eq!(server.lines(), ["DELETE /v2/team/app/manifests/v1"]);
    }
}
