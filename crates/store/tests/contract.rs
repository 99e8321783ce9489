//! Every place of this crate keeps the contract of the ports.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use corten_store::contract::{self, Abilities};
use corten_store::{Archive, Directory, LayoutStore, MemoryStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    contract::run(|| async { MemoryStore::new("test") }, &Abilities::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let make = || async {
        let count = count.fetch_add(1, Ordering::Relaxed);
        LayoutStore::create(directory.path().join(count.to_string())).unwrap()
    };
    contract::run(make, &Abilities::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_being_written_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let make = || async {
        let count = count.fetch_add(1, Ordering::Relaxed);
        Archive::create(directory.path().join(format!("{count}.tar"))).unwrap()
    };
    // It takes in one blob after the other, and a blob that is given up is cut off.
    let abilities = Abilities { keeps_staged: false, parallel: false, ..Abilities::default() };
    contract::run(make, &abilities).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flat_directory_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let make = || async {
        let count = count.fetch_add(1, Ordering::Relaxed);
        Directory::create(directory.path().join(count.to_string())).unwrap()
    };
    // It holds one image, which has no name, and its form has no room for a media type.
    let abilities = Abilities { names: false, opaque: false, ..Abilities::default() };
    contract::run(make, &abilities).await;
}
