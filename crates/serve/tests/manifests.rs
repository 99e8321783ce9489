//! Pushing, reading, listing and deleting manifests, as distribution-spec describes them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, dead_code)]

mod asker;

use asker::{Answered, Asker};
use async_trait::async_trait;
use corten_registry::wire::{ErrorCode, Link, Refused, Repository};
use corten_serve::{Gate, ServerOptions, Switch};
use corten_spec::{
    Algorithm, AnyDocument, Descriptor, Digest, EMPTY_JSON, Manifest, MediaType, empty_descriptor,
};
use serde_json::json;

const MANIFEST: &str = "content-type: application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "content-type: application/vnd.oci.image.index.v1+json";

async fn asker(options: ServerOptions) -> Asker {
    let asker = Asker::new(options);
    asker.blob("a", &empty_descriptor().digest, EMPTY_JSON).await;
    asker
}

/// An artifact with spaces that no writer of ours would put there.
fn artifact(kind: &str, subject: Option<&Digest>) -> Vec<u8> {
    let mut manifest = Manifest::image(empty_descriptor(), vec![empty_descriptor()]);
    manifest.artifact_type = Some(MediaType::new(kind));
    manifest.annotations.insert("kind".to_owned(), kind.to_owned());
    let pointer = |digest: &Digest| Descriptor::new(MediaType::OCI_MANIFEST, digest.clone(), 2);
    manifest.subject = subject.map(pointer);
    serde_json::to_vec_pretty(&manifest).unwrap()
}

async fn put(asker: &Asker, target: &str, body: &[u8]) -> Answered {
    asker.ask(&format!("PUT /v2/a/manifests/{target}"), &[MANIFEST], body).await
}

#[tokio::test]
async fn a_manifest_is_read_back_byte_for_byte_by_tag_and_digest() {
    let asker = asker(ServerOptions::default()).await;
    let bytes = artifact("a/b", None);
    let digest = Digest::sha256(&bytes);
    let pushed = put(&asker, "v1", &bytes).await;
    assert_eq!(pushed.verdict(), "201");
    let place = format!("/v2/a/manifests/{digest}");
    assert_eq!(pushed.header("location"), Some(place.as_str()));
    for target in ["/v2/a/manifests/v1", &place] {
        let read = asker.get(target).await;
        assert_eq!((read.status, read.body.as_ref()), (200, bytes.as_slice()));
        assert_eq!(read.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(read.header("content-type"), Some(MediaType::OCI_MANIFEST.as_str()));
        let head = asker.ask(&format!("HEAD {target}"), &[], b"").await;
        let length = bytes.len().to_string();
        assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
    }
    let known = format!("if-none-match: \"{digest}\"");
    assert_eq!(asker.ask("GET /v2/a/manifests/v1", &[&known], b"").await.status, 304);
}

#[tokio::test]
async fn a_manifest_under_another_algorithm_keeps_its_digest() {
    let asker = asker(ServerOptions::default()).await;
    let bytes = artifact("a/b", None);
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &bytes);
        let pushed = put(&asker, digest.as_str(), &bytes).await;
        assert_eq!(pushed.header("docker-content-digest"), Some(digest.as_str()));
        let read = asker.get(&format!("/v2/a/manifests/{digest}")).await;
        assert_eq!(read.header("docker-content-digest"), Some(digest.as_str()));
    }
    let other = Digest::sha256(b"other");
    assert_eq!(put(&asker, other.as_str(), &bytes).await.verdict(), "400 DIGEST_INVALID");
    assert_eq!(put(&asker, "md5:abc", &bytes).await.verdict(), "400 DIGEST_INVALID");
}

#[tokio::test]
async fn a_push_by_digest_may_name_tags() {
    let asker = asker(ServerOptions::default()).await;
    let bytes = artifact("a/b", None);
    let tags: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let target = format!("{}?{}", Digest::sha256(&bytes), query.join("&"));
    let pushed = put(&asker, &target, &bytes).await;
    assert_eq!(
        (pushed.status, pushed.all("oci-tag")),
        (201, tags.iter().map(String::as_str).collect())
    );
    assert_eq!(asker.get("/v2/a/manifests/t11").await.status, 200);
    assert_eq!(put(&asker, "v1?tag=-bad", &bytes).await.verdict(), "400 TAG_INVALID");
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let mut options = ServerOptions::default();
    options.limits.manifest = 2000;
    let asker = asker(options).await;
    let good = artifact("a/b", None);
    let line = "PUT /v2/a/manifests/v1";

    let cases: Vec<(&str, &[u8], &str)> = vec![
        (MANIFEST, b"{", "400 MANIFEST_INVALID"),
        (MANIFEST, b"", "400 MANIFEST_INVALID"),
        (MANIFEST, br#"{"schemaVersion":1}"#, "400 MANIFEST_INVALID"),
        (INDEX, &good, "400 MANIFEST_INVALID"),
        ("content-type: nonsense", &good, "400 MANIFEST_INVALID"),
        ("content-type: application/x", b"[]", "400 MANIFEST_INVALID"),
        ("accept: x", b"{}", "400 MANIFEST_INVALID"),
        ("accept: x", &good, "201"),
        ("content-type: application/vnd.oci.image.manifest.v1+json; charset=utf-8", &good, "201"),
        ("content-type: application/x", br#"{"anything":1}"#, "201"),
        (MANIFEST, &[b' '; 2001], "413 SIZE_INVALID"),
    ];
    for (header, body, verdict) in cases {
        let answer = asker.ask(line, &[header], body).await;
        assert_eq!(answer.verdict(), verdict, "{header} {}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn missing_content_is_named_unless_it_may_be_missing() {
    let layer = Descriptor::of(MediaType::OCI_LAYER, b"layer");
    let bytes = serde_json::to_vec(&Manifest::image(empty_descriptor(), vec![layer.clone()]));
    let bytes = bytes.unwrap();
    let strict = asker(ServerOptions::default()).await;
    let refused = put(&strict, "v1", &bytes).await;
    assert_eq!(refused.verdict(), "404 MANIFEST_BLOB_UNKNOWN");
    assert_eq!(refused.json()["errors"][0]["detail"]["digest"], layer.digest.as_str());
    let sparse = asker(ServerOptions { sparse: Switch::On, ..ServerOptions::default() }).await;
    assert_eq!(put(&sparse, "v1", &bytes).await.verdict(), "201");
}

#[tokio::test]
async fn tags_are_listed_sorted_and_in_pages() {
    let asker = asker(ServerOptions::default()).await;
    let bytes = artifact("a/b", None);
    for tag in ["b", "a", "C", "d"] {
        put(&asker, tag, &bytes).await;
    }
    let all = asker.get("/v2/a/tags/list").await;
    assert_eq!(all.json(), json!({ "name": "a", "tags": ["C", "a", "b", "d"] }));
    assert_eq!(all.header("link"), None);
    let mut target = "/v2/a/tags/list?n=3".to_owned();
    let first = asker.get(&target).await;
    assert_eq!(first.json()["tags"], json!(["C", "a", "b"]));
    target = Link::parse([first.header("link").unwrap()])[0].target.clone();
    let second = asker.get(&target).await;
    assert_eq!((second.json()["tags"].clone(), second.header("link")), (json!(["d"]), None));
    let none = asker.get("/v2/a/tags/list?n=0").await;
    assert_eq!((none.json()["tags"].clone(), none.header("link")), (json!([]), None));
    assert_eq!(asker.get("/v2/a/tags/list?last=a").await.json()["tags"], json!(["b", "d"]));
    assert_eq!(asker.get("/v2/z/tags/list").await.verdict(), "404 NAME_UNKNOWN");
    let catalog = asker.get("/v2/_catalog").await;
    assert_eq!(catalog.json(), json!({ "repositories": ["a"] }));
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_in_pages() {
    let asker = asker(ServerOptions::default()).await;
    let subject = Digest::sha256(b"{}");
    let target = format!("/v2/a/referrers/{subject}");
    let empty = asker.get(&target).await;
    assert_eq!((empty.status, empty.json()["manifests"].clone()), (200, json!([])));
    for kind in ["x/one", "x/two", "x/three"] {
        let pushed = put(&asker, kind.split_at(2).1, &artifact(kind, Some(&subject))).await;
        assert_eq!(pushed.header("oci-subject"), Some(subject.as_str()));
    }
    let all = asker.get(&target).await;
    assert_eq!(all.header("content-type"), Some(MediaType::OCI_INDEX.as_str()));
    assert_eq!(all.header("oci-filters-applied"), None);
    let listed = all.json()["manifests"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|one| one["annotations"]["kind"] == one["artifactType"]));
    let some = asker.get(&format!("{target}?artifactType=x/two")).await;
    assert_eq!(some.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 1);
    let (mut next, mut walked) = (Some(format!("{target}?n=1")), vec![]);
    while let Some(target) = next {
        let page = asker.get(&target).await;
        walked.extend(page.json()["manifests"].as_array().unwrap().clone());
        next = page.header("link").map(|link| Link::parse([link])[0].target.clone());
    }
    assert_eq!(walked, listed);
    assert_eq!(asker.get("/v2/a/referrers/sha256:x").await.verdict(), "400 DIGEST_INVALID");
    assert_eq!(asker.get(&format!("/v2/no/referrers/{subject}")).await.status, 200);
}

#[tokio::test]
async fn without_the_referrers_api_a_push_does_not_claim_it() {
    let asker = asker(ServerOptions { referrers: Switch::Off, ..ServerOptions::default() }).await;
    let subject = Digest::sha256(b"{}");
    let pushed = put(&asker, "v1", &artifact("x/y", Some(&subject))).await;
    assert_eq!((pushed.status, pushed.header("oci-subject")), (201, None));
    let answer = asker.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(answer.verdict(), "404 UNSUPPORTED");
}

#[tokio::test]
async fn tags_and_manifests_are_deleted() {
    let asker = asker(ServerOptions::default()).await;
    let bytes = artifact("a/b", None);
    let digest = Digest::sha256(&bytes);
    put(&asker, "v1", &bytes).await;
    put(&asker, "v2", &bytes).await;
    let delete = |target: &str| format!("DELETE /v2/a/manifests/{target}");
    assert_eq!(asker.ask(&delete("v1"), &[], b"").await.verdict(), "202");
    assert_eq!(asker.ask(&delete("v1"), &[], b"").await.verdict(), "404 MANIFEST_UNKNOWN");
    assert_eq!(asker.get("/v2/a/manifests/v2").await.status, 200);
    assert_eq!(asker.ask(&delete(digest.as_str()), &[], b"").await.verdict(), "202");
    assert_eq!(asker.get("/v2/a/manifests/v2").await.verdict(), "404 MANIFEST_UNKNOWN");
    let nowhere = "DELETE /v2/no/manifests/v1";
    assert_eq!(asker.ask(nowhere, &[], b"").await.verdict(), "404 NAME_UNKNOWN");
    let fixed = Asker::new(ServerOptions { deletion: Switch::Off, ..ServerOptions::default() });
    assert_eq!(fixed.ask(&delete("v1"), &[], b"").await.verdict(), "405 UNSUPPORTED");
}

#[tokio::test]
async fn a_conditional_push_does_not_overwrite_what_changed() {
    let asker = asker(ServerOptions::default()).await;
    let (old, new) = (artifact("x/old", None), artifact("x/new", None));
    let line = "PUT /v2/a/manifests/v1";
    let if_old = format!("if-match: \"{}\"", Digest::sha256(&old));
    let ask = async |condition: &str, body: &[u8]| {
        asker.ask(line, &[MANIFEST, condition], body).await.verdict()
    };
    let lost = "412 MANIFEST_INVALID";
    assert_eq!(ask(&if_old, &new).await, lost);
    assert_eq!(ask("if-none-match: *", &old).await, "201");
    assert_eq!(ask("if-none-match: *", &new).await, lost);
    assert_eq!(ask(&if_old, &new).await, "201");
    assert_eq!(ask(&if_old, &old).await, lost);
}

struct NoSignatures;

#[async_trait]
impl Gate for NoSignatures {
    async fn admit(&self, name: &Repository, document: &AnyDocument) -> Result<(), Refused> {
        let AnyDocument::Manifest(manifest) = document else { return Ok(()) };
        if manifest.value().artifact_kind().as_str() != "x/signature" {
            return Ok(());
        }
        Err(Refused::new(ErrorCode::Denied, format!("no signatures in {name}")))
    }
}

#[tokio::test]
async fn the_gate_decides_before_anything_is_stored() {
    let mut asker = asker(ServerOptions::default()).await;
    asker.server = asker.server.clone().with_gate(std::sync::Arc::new(NoSignatures));
    let refused = put(&asker, "v1", &artifact("x/signature", None)).await;
    assert_eq!(refused.verdict(), "403 DENIED");
    assert_eq!(refused.json()["errors"][0]["message"], "no signatures in a");
    assert_eq!(asker.get("/v2/a/manifests/v1").await.verdict(), "404 MANIFEST_UNKNOWN");
    assert_eq!(put(&asker, "v1", &artifact("x/other", None)).await.verdict(), "201");
}

#[tokio::test]
async fn a_warning_is_short_and_plain() {
    let warning = Some(format!("old\r\n\"{}", "x".repeat(5000)));
    let asker = asker(ServerOptions { warning, ..ServerOptions::default() }).await;
    let pushed = put(&asker, "v1", &artifact("x/y", None)).await;
    let warning = pushed.header("warning").unwrap();
    assert!(warning.starts_with("299 - \"oldxxx") && warning.ends_with("x\""), "{warning}");
    assert_eq!(warning.len(), 4096);
}
