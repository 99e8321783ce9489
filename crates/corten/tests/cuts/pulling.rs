//! Pull from a registry that does wrong: the image arrives whole, or the error says what is wrong
//! and nothing wrong is kept; and once the registry does right, so does the same command.

use std::time::Duration;

use corten::Exit;
use corten_testkit::{Fault, TestRegistry};

use crate::home::Home;
use crate::{image, large_layer, layout};

/// Longer than the patience of the client.
const SILENCE: Duration = Duration::from_secs(3);

/// What a fault leads to.
#[derive(Clone, Copy)]
enum End<'a> {
    /// The image is there.
    Whole,
    /// This exit code, and these words in the message; `HOST`, `LAYER` and `ROOT` stand for the
    /// registry, the digest of the large layer and the digest of the manifest.
    Failure(Exit, &'a [&'a str]),
}

/// Requests that match this, so many of them, meet this fault; and that is what comes of it.
type Case<'a> = (&'a str, usize, Fault, End<'a>);

/// Pulls in each case. They mostly wait, so all of them at once.
fn pulls(cases: &[Case<'_>]) {
    std::thread::scope(|scope| {
        for (when, times, fault, end) in cases.iter().cloned() {
            scope.spawn(move || pull(when, times, fault, end));
        }
    });
}

/// Pulls while the first `times` requests that match `when` meet `fault`.
fn pull(when: &str, times: usize, fault: Fault, end: End<'_>) {
    let registry = TestRegistry::start();
    let host = registry.host();
    let home = Home::new(&[&host]);
    let image = image(1);
    registry.seed("team/app", Some("v1"), &image);
    let (layer, root) = (large_layer(&image).0, image.digest());
    let when = when.replace("LAYER", layer.as_str());
    registry.fault(&when, times, fault.clone());
    let reference = registry.reference("team/app:v1");
    match end {
        End::Whole => {
            home.succeed(["pull", &reference]);
            assert!(registry.faults_met() > 0, "{fault:?} was not met");
        }
        End::Failure(exit, words) => {
            let said = home.fail(["pull", &reference], exit);
            for word in words {
                let word = word.replace("HOST", &host).replace("LAYER", layer.as_str());
                let word = word.replace("ROOT", root.as_str());
                assert!(said.contains(&word), "{fault:?}: no '{word}' in: {said}");
            }
            assert_eq!(layout::names(&home.store()), [], "{fault:?}: published");
            layout::assert_sound(&home.store());
            registry.heal();
            home.succeed(["pull", &reference]);
        }
    }
    layout::assert_sound(&home.store());
    layout::assert_holds(&home.store(), &reference, &image);
    assert_eq!(layout::staged(&home.store()), 0, "{fault:?}: a staged part is left");
}

const FOR_EVER: usize = usize::MAX;

#[test]
fn a_connection_that_is_cut_is_taken_up_again() {
    pulls(&[
        ("GET /blobs/", 2, Fault::CutAnswer(70_000), End::Whole),
        ("GET /blobs/", 2, Fault::CutAnswer(0), End::Whole),
        ("GET /blobs/", 2, Fault::Cut, End::Whole),
        ("GET /manifests/", 1, Fault::CutAnswer(20), End::Whole),
        ("HEAD /manifests/", 1, Fault::Cut, End::Whole),
    ]);
}

#[test]
fn a_body_that_ends_early_is_taken_up_again() {
    pulls(&[
        ("GET /blobs/", 2, Fault::Shorten(70_000), End::Whole),
        ("GET /manifests/", 1, Fault::Without("content-length".to_owned()), End::Whole),
    ]);
}

#[test]
fn a_connection_that_falls_silent_is_made_anew() {
    pulls(&[
        ("GET /blobs/LAYER", 1, Fault::Stall(70_000, SILENCE), End::Whole),
        ("GET /manifests/", 1, Fault::Delay(SILENCE), End::Whole),
    ]);
}

#[test]
fn bytes_that_were_broken_on_the_way_are_fetched_again() {
    pulls(&[("GET /blobs/LAYER", 1, Fault::Corrupt(70_000), End::Whole)]);
}

#[test]
fn bytes_that_stay_wrong_are_corrupt() {
    let words = &["LAYER", "HOST/team/app", "corrupt"];
    let end = End::Failure(Exit::Corrupt, words);
    pulls(&[
        ("GET /blobs/LAYER", FOR_EVER, Fault::Corrupt(70_000), end),
        ("GET /blobs/LAYER", FOR_EVER, Fault::Endless, end),
    ]);
    let end = End::Failure(Exit::Corrupt, &["HOST/team/app", "ROOT", "corrupt"]);
    pulls(&[("GET /manifests/", FOR_EVER, Fault::Corrupt(40), end)]);
}

#[test]
fn a_registry_that_limits_requests_is_obeyed() {
    pulls(&[
        ("GET /blobs/", 2, Fault::RateLimited(1), End::Whole),
        ("* /manifests/", 1, Fault::RateLimited(0), End::Whole),
    ]);
    let words = &["HOST/team/app", "3600 s"];
    let end = End::Failure(Exit::RateLimited, words);
    pulls(&[
        ("GET /blobs/LAYER", FOR_EVER, Fault::RateLimited(3600), end),
        ("HEAD /manifests/", FOR_EVER, Fault::RateLimited(3600), end),
    ]);
}

#[test]
fn a_registry_in_trouble_is_asked_again() {
    pulls(&[
        ("GET /blobs/", 3, Fault::Status(500), End::Whole),
        ("* /manifests/", 2, Fault::Status(503), End::Whole),
    ]);
}

#[test]
fn a_length_that_lies_is_corrupt() {
    let words = &["LAYER", "HOST/team/app", "corrupt"];
    let end = End::Failure(Exit::Corrupt, words);
    let size = large_layer(&image(1)).1;
    pulls(&[
        ("GET /blobs/LAYER", FOR_EVER, Fault::Length(size + 10), end),
        ("GET /blobs/LAYER", FOR_EVER, Fault::Length(size - 10), end),
    ]);
}

#[test]
fn a_digest_that_lies_is_corrupt() {
    let words = &["HOST/team/app", "LAYER", "corrupt", "says that it is"];
    let end = End::Failure(Exit::Corrupt, words);
    pulls(&[("GET /blobs/LAYER", FOR_EVER, Fault::lying_digest(), end)]);
    let end = End::Failure(Exit::Corrupt, &["HOST/team/app", "corrupt"]);
    pulls(&[("GET /manifests/", FOR_EVER, Fault::lying_digest(), end)]);
}

#[test]
fn what_lasts_is_told_by_name() {
    let told = |words| End::Failure(Exit::Unreachable, words);
    let again = "run the same command again";
    pulls(&[
        (
            "GET /blobs/LAYER",
            FOR_EVER,
            Fault::CutAnswer(0),
            told(&["HOST/team/app", "LAYER", "interrupted", again]),
        ),
        (
            "GET /blobs/LAYER",
            FOR_EVER,
            Fault::Shorten(0),
            told(&["HOST/team/app", "LAYER", "ended early", again]),
        ),
        (
            "GET /blobs/LAYER",
            FOR_EVER,
            Fault::Stall(0, SILENCE),
            told(&["HOST/team/app", "LAYER", "nothing moved for 1 s", again]),
        ),
        ("GET /blobs/LAYER", FOR_EVER, Fault::Status(500), told(&["HOST/team/app", "500"])),
        ("* /manifests/", FOR_EVER, Fault::Cut, told(&["HOST/team/app", "cannot be reached"])),
    ]);
}
