//! The rules for blobs.

use std::sync::Arc;

use bytes::Bytes;
use corten_spec::{Descriptor, Digest, MediaType};

use super::{Abilities, images, ingest, is_not_found, pour, put, read_from};
use crate::{Begun, BlobReader, Ingest, Kind, Store, StoreError};

/// Sizes around every buffer there is.
const SIZES: [usize; 8] = [0, 1, 511, 512, 262_143, 262_144, 262_145, 1_500_001];

pub(super) async fn round_trip(store: &dyn Store) {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let (blob, bytes) = images::blob(seed as u64, size);
        put(store, &blob, &bytes).await.expect("a blob of any size is taken in");
        assert!(store.exists(Kind::Blob, &blob).await.unwrap(), "what was committed exists");
        let mut reader = BlobReader::open(store, Kind::Blob, &blob).await.unwrap();
        let mut read = Vec::new();
        while let Some(chunk) = reader.next().await.expect("what was committed is verified") {
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read.len(), size);
        assert!(read == bytes, "what is read is what was written");
    }
}

pub(super) async fn fetch_from_every_offset(store: &dyn Store) {
    let (blob, bytes) = images::blob(10, 700_001);
    put(store, &blob, &bytes).await.unwrap();
    for offset in [0, 1, 262_143, 262_144, 524_289, 700_000, 700_001] {
        let rest = read_from(store, Kind::Blob, &blob, offset).await.expect("an offset within");
        let from = usize::try_from(offset).unwrap();
        assert!(rest == bytes[from..], "a fetch from offset {offset} has the bytes from there on");
    }
}

pub(super) async fn missing_blob(store: &dyn Store) {
    let (blob, _) = images::blob(11, 1_000);
    assert!(!store.exists(Kind::Blob, &blob).await.unwrap(), "what was never sent does not exist");
    let fetched = read_from(store, Kind::Blob, &blob, 0).await;
    assert!(is_not_found(&fetched), "a fetch of a missing blob says so: {fetched:?}");
}

async fn refused(store: &dyn Store, blob: &Descriptor, wrong: &[u8], right: &[u8]) {
    let mut ingest = ingest(store, blob).await;
    let result = pour(&mut *ingest, wrong).await;
    assert!(
        matches!(result, Err(StoreError::Corrupt { .. })),
        "wrong bytes are corrupt: {result:?}"
    );
    assert!(!store.exists(Kind::Blob, blob).await.unwrap(), "wrong bytes are not published");
    let offset = ingest.resume().await.expect("an ingest goes on after wrong bytes");
    assert_eq!(offset, 0, "nothing of wrong bytes is kept");
    pour(&mut *ingest, right).await.expect("right bytes are taken after wrong ones");
    assert!(store.exists(Kind::Blob, blob).await.unwrap());
}

pub(super) async fn wrong_bytes(store: &dyn Store) {
    let (blob, right) = images::blob(12, 400_000);
    let mut wrong = right.to_vec();
    wrong[399_999] ^= 1;
    refused(store, &blob, &wrong, &right).await;
}

pub(super) async fn too_many_bytes(store: &dyn Store) {
    let (blob, right) = images::blob(13, 400_000);
    let wrong = [&right[..], b"x"].concat();
    refused(store, &blob, &wrong, &right).await;
}

pub(super) async fn too_few_bytes(store: &dyn Store) {
    let (blob, right) = images::blob(14, 400_000);
    refused(store, &blob, &right[..399_999], &right).await;
}

pub(super) async fn present_blob_is_not_asked_for(store: &dyn Store) {
    let (blob, bytes) = images::blob(15, 3_000);
    put(store, &blob, &bytes).await.unwrap();
    let begun = store.begin(&blob, None).await.unwrap();
    assert!(matches!(begun, Begun::Present), "a present blob is not asked for again");
}

async fn append(ingest: &mut dyn Ingest, bytes: &[u8]) {
    ingest.append(Bytes::copy_from_slice(bytes)).await.expect("bytes are taken");
}

pub(super) async fn resume_within_one_ingest(store: &dyn Store) {
    let (blob, bytes) = images::blob(16, 900_000);
    let mut ingest = ingest(store, &blob).await;
    assert_eq!(ingest.resume().await.unwrap(), 0, "a new ingest starts at the first byte");
    append(&mut *ingest, &bytes[..350_000]).await;
    let offset = usize::try_from(ingest.resume().await.unwrap()).unwrap();
    assert!(offset <= 350_000, "an ingest does not claim what it was not sent");
    append(&mut *ingest, &bytes[offset..]).await;
    ingest.commit().await.expect("a resumed ingest is verified over all of its bytes");
    assert!(store.exists(Kind::Blob, &blob).await.unwrap());
}

pub(super) async fn dropped_ingest(store: &dyn Store, abilities: &Abilities) {
    let (blob, bytes) = images::blob(17, 900_000);
    let mut first = ingest(store, &blob).await;
    assert_eq!(first.resume().await.unwrap(), 0);
    append(&mut *first, &bytes[..600_000]).await;
    first.resume().await.expect("what was sent is taken note of");
    drop(first);
    assert!(!store.exists(Kind::Blob, &blob).await.unwrap(), "a dropped ingest publishes nothing");
    let mut second = ingest(store, &blob).await;
    let offset = second.resume().await.unwrap();
    if abilities.keeps_staged {
        assert_eq!(offset, 600_000, "what was staged is gone on with");
    }
    append(&mut *second, &bytes[usize::try_from(offset).unwrap()..]).await;
    second.commit().await.expect("both parts are verified together");
    assert!(read_from(store, Kind::Blob, &blob, 0).await.unwrap() == bytes);
}

pub(super) async fn same_blob_twice_at_once(store: &dyn Store) {
    let (blob, bytes) = images::blob(18, 300_000);
    let mut first = ingest(store, &blob).await;
    let second = store.begin(&blob, None).await.expect("a second one may begin");
    first.resume().await.unwrap();
    append(&mut *first, &bytes[..100_000]).await;
    if let Begun::Ingest(mut second) = second {
        pour(&mut *second, &bytes)
            .await
            .expect("the second one does not see the first one's bytes");
    }
    let offset = usize::try_from(first.resume().await.unwrap()).unwrap();
    append(&mut *first, &bytes[offset..]).await;
    first.commit().await.expect("committing what is there already succeeds");
    assert!(read_from(store, Kind::Blob, &blob, 0).await.unwrap() == bytes);
}

pub(super) async fn many_at_once(store: Arc<dyn Store>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..12_u64 {
        let store = store.clone();
        // Every blob is sent by two tasks.
        let (blob, bytes) = images::blob(100 + task / 2, 200_000);
        tasks.spawn(async move { put(&*store, &blob, &bytes).await });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().expect("ingests at the same time do not disturb each other");
    }
    for seed in 100..106 {
        let (blob, bytes) = images::blob(seed, 200_000);
        assert!(read_from(&*store, Kind::Blob, &blob, 0).await.unwrap() == bytes);
    }
    let unknown = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
    let unknown = Descriptor::new(MediaType::OCI_LAYER, unknown, 5);
    assert!(!store.exists(Kind::Blob, &unknown).await.unwrap());
}
