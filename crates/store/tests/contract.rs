//! Every place of this crate keeps the contract of the ports.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use corten_store::contract::{self, Abilities};
use corten_store::{LayoutStore, MemoryStore};

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
