//! Keeping the list of referrers where a registry does not keep it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use corten_spec::{AnyDocument, Descriptor, Digest, Manifest, MediaType};
use corten_store::{Pusher, Referrers};
use support::{Say, Scripted, Seen, document, manifest, say};

/// A manifest that refers to `manifest()`.
fn referrer(kind: &str) -> AnyDocument {
    let config = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
    let mut referrer = Manifest::image(config, Vec::new());
    referrer.artifact_type = Some(MediaType::new(kind));
    referrer.subject = Some(manifest().descriptor().clone());
    referrer.annotations.insert("key".to_owned(), kind.to_owned());
    document(referrer)
}

/// A registry without referrers API that keeps one tag; `race` interferes with the first writes.
fn tag_keeper(
    race: impl Fn(usize, &mut Option<Vec<u8>>) -> Option<Say> + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Say + Send + Sync + 'static {
    let (kept, writes) = (Mutex::new(None::<Vec<u8>>), AtomicUsize::new(0));
    move |seen| {
        let mut kept = kept.lock().unwrap();
        match seen.method.as_str() {
            _ if seen.target.contains("/referrers/") => say(404),
            "PUT" if seen.target.contains("/manifests/sha256:") => say(201),
            "PUT" => {
                let number = writes.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = race(number, &mut kept) {
                    return answer;
                }
                *kept = Some(seen.body.clone());
                say(201)
            }
            _ => match &*kept {
                Some(list) => say(200).header("Content-Type", MediaType::OCI_INDEX).body(list),
                None => say(404),
            },
        }
    }
}

#[tokio::test]
async fn without_the_api_referrers_are_kept_under_a_tag() {
    let server = Scripted::start(tag_keeper(|_, _| None)).await;
    let registry = server.registry();
    for kind in ["a/a", "b/b", "a/a"] {
        registry.push(&referrer(kind)).await.unwrap();
    }
    let subject = &manifest().descriptor().digest.clone();
    let listed = registry.referrers(subject, None).await.unwrap();
    let wanted: Vec<Descriptor> = ["a/a", "b/b"]
        .iter()
        .map(|kind| {
            let mut descriptor = referrer(kind).descriptor().bare();
            descriptor.artifact_type = Some(MediaType::new(*kind));
            descriptor.annotations.insert("key".to_owned(), (*kind).to_owned());
            descriptor
        })
        .collect();
    assert_eq!(listed, wanted);
    let some = registry.referrers(subject, Some(&MediaType::new("b/b"))).await.unwrap();
    assert_eq!(some, wanted[1..]);
    let put = format!("PUT /v2/team/app/manifests/sha256-{}", subject.encoded());
    let seen = server.seen();
    let writes: Vec<&Seen> = seen.iter().filter(|seen| seen.line() == put).collect();
    assert_eq!(writes.len(), 2, "what is listed is not listed again");
    assert_eq!(writes[0].header("if-none-match"), "*");
}

#[tokio::test]
async fn a_list_that_somebody_else_writes_at_the_same_time_loses_nothing() {
    let other = referrer("other/one");
    let list = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [other.descriptor()],
    }))
    .unwrap();
    for lost in [false, true] {
        let list = list.clone();
        // First the other one is faster: noticed by the registry, or by nobody.
        let server = Scripted::start(tag_keeper(move |number, kept| {
            (number == 0).then(|| {
                *kept = Some(list.clone());
                say(if lost { 201 } else { 412 })
            })
        }))
        .await;
        let registry = server.registry();
        let mine = referrer("my/one");
        registry.push(&mine).await.unwrap();
        let subject = &manifest().descriptor().digest.clone();
        let listed = registry.referrers(subject, None).await.unwrap();
        let digests: Vec<&Digest> = listed.iter().map(|one| &one.digest).collect();
        assert_eq!(digests, [&other.descriptor().digest, &mine.descriptor().digest], "{lost}");
    }
}

#[tokio::test]
async fn many_referrers_pushed_at_once_are_all_listed() {
    let server = Scripted::start(tag_keeper(|_, _| None)).await;
    let registry = server.registry();
    let documents: Vec<AnyDocument> =
        (0..8).map(|number| referrer(&format!("kind/n{number}"))).collect();
    let pushes = documents.iter().map(|document| registry.push(document));
    for outcome in futures_util::future::join_all(pushes).await {
        outcome.unwrap();
    }
    let subject = &manifest().descriptor().digest.clone();
    assert_eq!(registry.referrers(subject, None).await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_registry_that_takes_note_of_subjects_needs_no_tag() {
    let server = Scripted::start(|seen| {
        assert_eq!(seen.method, "PUT");
        say(201).header("OCI-Subject", &manifest().descriptor().digest)
    })
    .await;
    server.registry().push(&referrer("a/a")).await.unwrap();
    assert_eq!(server.lines().len(), 1);
}
