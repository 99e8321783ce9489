//! A peer that gives a byte now and then: whatever is read ends, with an error that says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use corten_registry::{
    Anonymous, Connection, Download, Registry, Retry, Timeouts, Transport, download,
};
use corten_spec::Descriptor;
use corten_store::{Fetcher, Kind, Resolver, Selector, StoreError, read_small};
use support::{Scripted, chain, layer, manifest, quick, say};

const EACH: Duration = Duration::from_millis(20);

/// A silence may last a moment, and a byte comes well within it.
fn impatient() -> Transport {
    let timeouts = Timeouts { stall: Duration::from_millis(300), ..Timeouts::default() };
    Transport { timeouts, retry: Retry { attempts: 1, ..quick().retry }, ..quick() }
}

fn open(server: &Scripted) -> Registry {
    let connection = Connection::new(impatient(), Arc::new(Anonymous)).unwrap();
    Registry::open(server.location("team/app"), connection).unwrap()
}

fn is_slow(error: &StoreError, begun: Instant) {
    assert!(chain(error).contains("less than 1024 bytes a second"), "{}", chain(error));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_list_a_manifest_and_a_token_that_trickle_end() {
    let body = "y".repeat(2000);
    let server = Scripted::start(move |seen| match &*seen.target {
        target if target.contains("/tags/") => say(200).body(body.clone()).slowly(EACH),
        _ => say(200)
            .header("Content-Type", "application/vnd.oci.image.index.v1+json")
            .body(body.clone())
            .slowly(EACH),
    })
    .await;
    let begun = Instant::now();
    is_slow(&open(&server).names().await.unwrap_err(), begun);
    let digest = manifest().descriptor().digest.clone();
    let begun = Instant::now();
    is_slow(&open(&server).resolve(&Selector::Digest(digest)).await.unwrap_err(), begun);
    let server = Scripted::start(|seen| match seen.target.starts_with("/token") {
        true => say(200).body("z".repeat(2000)).slowly(EACH),
        false => say(401).header("WWW-Authenticate", "Bearer realm=\"/token\""),
    })
    .await;
    let begun = Instant::now();
    is_slow(&open(&server).names().await.unwrap_err(), begun);
}

#[tokio::test]
async fn a_config_a_layer_and_a_file_that_trickle_end() {
    let (bytes, descriptor) = layer(3000);
    let content = bytes.clone();
    let server = Scripted::start(move |_| say(200).body(&content).slowly(EACH)).await;
    let begun = Instant::now();
    let limit = ("a config", 4000);
    let error = read_small(&open(&server), Kind::Blob, &descriptor, limit).await.unwrap_err();
    is_slow(&error, begun);
    assert!(!error.is_transient(), "asked again it would be as slow");
    let url = server.url("/file");
    let wanted = Download { url: &url, known: None, authorization: None, limit: 4000 };
    let begun = Instant::now();
    let error = download(&impatient(), wanted, &mut |_| Ok(())).await.unwrap_err();
    is_slow(&error, begun);
}

#[tokio::test]
async fn who_reads_slowly_is_not_to_blame_for_the_peer() {
    use futures_util::StreamExt as _;
    let (bytes, descriptor): (_, Descriptor) = layer(3_000_000);
    let content = bytes.clone();
    let server = Scripted::start(move |_| say(200).body(&content)).await;
    let mut stream = open(&server).fetch(Kind::Blob, &descriptor, 0).await.unwrap();
    let mut got = stream.next().await.unwrap().unwrap().len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    while let Some(piece) = stream.next().await {
        got += piece.unwrap().len();
    }
    assert_eq!(got, bytes.len());
}
