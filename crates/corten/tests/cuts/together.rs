//! Several processes at one store: pulls of the same and of different images, and imports, while
//! garbage is collected all the time, lose nothing that was acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use corten_testkit::{Noise, TestRegistry};

use crate::home::Home;
use crate::{image, layout};

/// Processes that pull at the same time.
const PULLING: u64 = 4;

/// Pulls of each.
const ROUNDS: u64 = 4;

#[test]
fn pulls_and_imports_beside_collections_lose_nothing() {
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let store = home.store();
    let shared = image(40);
    let own = |worker: u64, round: u64| image(100 + worker * 10 + round);
    for worker in 0..PULLING {
        for round in 0..ROUNDS {
            let repository = format!("own/{worker}-{round}");
            registry.seed(&repository, Some("v1"), &own(worker, round));
        }
    }
    registry.seed("team/shared", Some("v1"), &shared);
    let (ended, collections) = (AtomicBool::new(false), AtomicU32::new(0));
    let pull = |worker: u64| {
        let same = registry.reference("team/shared:v1");
        for round in 0..ROUNDS {
            home.succeed(["pull", &same]);
            layout::assert_holds(&store, &same, &shared);
            let name = registry.reference(&format!("own/{worker}-{round}:v1"));
            home.succeed(["pull", &name]);
            layout::assert_holds(&store, &name, &own(worker, round));
            // What is taken away is garbage beside the pulls of the others.
            if round % 2 == 0 {
                home.succeed(["remove", &name]);
            }
        }
    };
    let import = || {
        for round in 0..ROUNDS {
            home.write("tree/file", Noise::new(round, 200_000).whole());
            let name = format!("made-{round}");
            home.succeed(["import", home.path("tree").to_str().unwrap(), &name]);
            home.succeed(["validate", &format!("store:{name}")]);
        }
    };
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                home.succeed(["gc", "--grace", "0s"]);
                collections.fetch_add(1, Ordering::SeqCst);
            }
        });
        let pulling: Vec<_> =
            (0..PULLING).map(|worker| scope.spawn(move || pull(worker))).collect();
        let importing = scope.spawn(import);
        let results: Vec<_> =
            pulling.into_iter().chain([importing]).map(|thread| thread.join()).collect();
        ended.store(true, Ordering::SeqCst);
        collector.join().unwrap();
        assert!(results.iter().all(Result::is_ok), "a pull or an import was harmed");
    });
    assert!(collections.load(Ordering::SeqCst) > 5, "gc ran beside the pulls");
    layout::assert_sound(&store);
    home.succeed(["validate", &format!("oci:{}", store.display())]);
    layout::assert_holds(&store, &registry.reference("team/shared:v1"), &shared);
    for (worker, round) in (0..PULLING).flat_map(|w| (0..ROUNDS).map(move |r| (w, r))) {
        let name = registry.reference(&format!("own/{worker}-{round}:v1"));
        if round % 2 == 1 {
            layout::assert_holds(&store, &name, &own(worker, round));
            home.succeed(["remove", &name]);
        }
    }
    for round in 0..ROUNDS {
        home.succeed(["remove", &format!("made-{round}")]);
    }
    home.succeed(["remove", &registry.reference("team/shared:v1")]);
    home.succeed(["gc", "--grace", "0s"]);
    layout::assert_empty(&store);
}
