//! A registry passes the suite of the ports like every other place, whatever the server leaves out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corten_registry::{
    Anonymous, Connection, Credential, Insecure, Keychain, Registry, Retry, Secret, Transport,
};
use corten_spec::Location;
use corten_store::contract::{Abilities, run};
use corten_testkit::{Auth, Feature, Setup, TestRegistry};

/// What registries cannot do: an upload that nobody continues is the server's to forget.
const ABILITIES: Abilities =
    Abilities { names: true, untag: true, keeps_staged: false, parallel: true, opaque: true };

async fn passes(setup: Setup, keychain: Arc<dyn Keychain>) {
    let server = TestRegistry::with(setup);
    let retry = Retry { base: Duration::from_millis(2), ..Retry::default() };
    let transport = Transport { insecure: Insecure::PlainHttp, retry, ..Transport::default() };
    let connection = Connection::new(transport, keychain).unwrap();
    let count = AtomicUsize::new(0);
    let make = || async {
        let repository = format!("team/app{}", count.fetch_add(1, Ordering::SeqCst));
        // One that nobody ever pushed to is no empty place: its names are not found.
        server.seed_blob(&repository, "seed");
        let location = Location { host: server.host(), repository };
        Registry::open(location, Arc::clone(&connection)).unwrap()
    };
    run(make, &ABILITIES).await;
}

async fn passes_with(setup: Setup) {
    passes(setup, Arc::new(Anonymous)).await;
}

#[tokio::test]
async fn with_everything_on() {
    passes_with(Setup::default()).await;
}

#[tokio::test]
async fn without_the_referrers_api() {
    passes_with(Setup::default().without(Feature::Referrers)).await;
}

#[tokio::test]
async fn with_absolute_locations_and_chunks() {
    passes_with(Setup::default().absolute_locations().chunk_min(1000)).await;
}

#[tokio::test]
async fn with_tokens() {
    let (user, password) = ("ann".to_owned(), "hunter2".to_owned());
    let secret = Secret::new(password.clone());
    let credential = Credential::Password { username: user.clone(), password: secret };
    let auth = Auth::Token { user, password };
    let setup = Setup { auth, ..Setup::default() };
    passes(setup, Arc::new(credential)).await;
}
