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
enum End<'a> {
    /// The image is there.
    Whole,
    /// This exit code, and these words in the message; `HOST`, `LAYER` and `ROOT` stand for the
    /// registry, the digest of the large layer and the digest of the manifest.
    Failure(Exit, &'a [&'a str]),
}

/// Pulls while the first `times` requests that match `when` meet `fault`.
fn pull(when: &str, times: usize, fault: Fault, end: &End<'_>) {
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
            let said = home.fail(["pull", &reference], *exit);
            for word in *words {
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
    pull("GET /blobs/", 2, Fault::CutAnswer(70_000), &End::Whole);
    pull("GET /blobs/", 2, Fault::CutAnswer(0), &End::Whole);
    pull("GET /blobs/", 2, Fault::Cut, &End::Whole);
    pull("GET /manifests/", 1, Fault::CutAnswer(20), &End::Whole);
    pull("HEAD /manifests/", 1, Fault::Cut, &End::Whole);
}

#[test]
fn a_connection_that_is_always_cut_is_an_interrupted_transfer() {
    let words = &["HOST/team/app", "LAYER", "interrupted", "run the same command again"];
    let end = End::Failure(Exit::Unreachable, words);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::CutAnswer(0), &end);
}

#[test]
fn a_body_that_ends_early_is_taken_up_again() {
    pull("GET /blobs/", 2, Fault::Shorten(70_000), &End::Whole);
    pull("GET /manifests/", 1, Fault::Without("content-length".to_owned()), &End::Whole);
}

#[test]
fn a_body_that_always_ends_at_once_is_an_interrupted_transfer() {
    let end = End::Failure(Exit::Unreachable, &["HOST/team/app", "LAYER", "ended early"]);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Shorten(0), &end);
}

#[test]
fn a_connection_that_falls_silent_is_made_anew() {
    pull("GET /blobs/LAYER", 1, Fault::Stall(70_000, SILENCE), &End::Whole);
    pull("GET /manifests/", 1, Fault::Delay(SILENCE), &End::Whole);
}

#[test]
fn a_registry_that_stays_silent_is_told_by_name() {
    let end = End::Failure(Exit::Unreachable, &["HOST/team/app", "LAYER", "nothing moved for 1 s"]);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Stall(0, SILENCE), &end);
}

#[test]
fn bytes_that_were_broken_on_the_way_are_fetched_again() {
    pull("GET /blobs/LAYER", 1, Fault::Corrupt(70_000), &End::Whole);
}

#[test]
fn bytes_that_stay_wrong_are_corrupt() {
    let words = &["LAYER", "HOST/team/app", "corrupt"];
    let end = End::Failure(Exit::Corrupt, words);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Corrupt(70_000), &end);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Endless, &end);
    let end = End::Failure(Exit::Corrupt, &["HOST/team/app", "ROOT", "corrupt"]);
    pull("GET /manifests/", FOR_EVER, Fault::Corrupt(40), &end);
}

#[test]
fn a_registry_that_limits_requests_is_obeyed() {
    pull("GET /blobs/", 2, Fault::RateLimited(1), &End::Whole);
    pull("* /manifests/", 1, Fault::RateLimited(0), &End::Whole);
    let words = &["HOST/team/app", "3600 s"];
    let end = End::Failure(Exit::RateLimited, words);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::RateLimited(3600), &end);
    pull("HEAD /manifests/", FOR_EVER, Fault::RateLimited(3600), &end);
}

#[test]
fn a_registry_in_trouble_is_asked_again() {
    pull("GET /blobs/", 3, Fault::Status(500), &End::Whole);
    pull("* /manifests/", 2, Fault::Status(503), &End::Whole);
}

#[test]
fn trouble_that_lasts_is_told_with_its_status() {
    let end = End::Failure(Exit::Unreachable, &["HOST/team/app", "500"]);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Status(500), &end);
}

#[test]
fn a_length_that_lies_is_corrupt() {
    let words = &["LAYER", "HOST/team/app", "corrupt"];
    let end = End::Failure(Exit::Corrupt, words);
    let size = large_layer(&image(1)).1;
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Length(size + 10), &end);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::Length(size - 10), &end);
}

#[test]
fn a_digest_that_lies_is_corrupt() {
    let words = &["HOST/team/app", "LAYER", "corrupt", "says that it is"];
    let end = End::Failure(Exit::Corrupt, words);
    pull("GET /blobs/LAYER", FOR_EVER, Fault::lying_digest(), &end);
    let end = End::Failure(Exit::Corrupt, &["HOST/team/app", "corrupt"]);
    pull("GET /manifests/", FOR_EVER, Fault::lying_digest(), &end);
}
