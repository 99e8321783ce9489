//! Push to a registry that does wrong: it has the image whole afterwards, or the tag is not there
//! and the error says what is wrong; and once the registry does right, so does the same command.

use std::time::Duration;

use corten::Exit;
use corten_testkit::images::TestImage;
use corten_testkit::{Fault, TestRegistry};

use crate::home::Home;
use crate::{image, layout};

/// Longer than the patience of the client.
const SILENCE: Duration = Duration::from_secs(3);

/// What a fault leads to.
#[derive(Clone, Copy)]
enum End<'a> {
    /// The registry has the image.
    Whole,
    /// This exit code, and these words in the message; `HOST` stands for the registry.
    Failure(Exit, &'a [&'a str]),
}

/// A home whose store has the image under `app`.
pub(crate) fn home_with(image: &TestImage, target: &str) -> Home {
    let source = TestRegistry::start();
    source.seed("team/app", Some("v1"), image);
    let home = Home::new(&[&source.host(), target]);
    home.succeed(["pull", &source.reference("team/app:v1"), "app"]);
    home
}

/// Requests that match this, so many of them, meet this fault; and that is what comes of it.
type Case<'a> = (&'a str, usize, Fault, End<'a>);

/// Pushes in each case. They mostly wait, so all of them at once.
fn pushes(cases: &[Case<'_>]) {
    std::thread::scope(|scope| {
        for (when, times, fault, end) in cases.iter().cloned() {
            scope.spawn(move || push(when, times, fault, end));
        }
    });
}

/// Pushes while the first `times` requests that match `when` meet `fault`.
fn push(when: &str, times: usize, fault: Fault, end: End<'_>) {
    let registry = TestRegistry::start();
    let host = registry.host();
    let image = image(2);
    let home = home_with(&image, &host);
    let before = layout::files(&home.store());
    registry.fault(when, times, fault.clone());
    let target = registry.reference("copy/app:v1");
    match end {
        End::Whole => {
            home.succeed(["push", "app", &target]);
            assert!(registry.faults_met() > 0, "{fault:?} was not met");
        }
        End::Failure(exit, words) => {
            let said = home.fail(["push", "app", &target], exit);
            for word in words {
                let word = word.replace("HOST", &host);
                assert!(said.contains(&word), "{fault:?}: no '{word}' in: {said}");
            }
            assert_eq!(registry.tags("copy/app"), Vec::<String>::new(), "{fault:?}: published");
            registry.heal();
            home.succeed(["push", "app", &target]);
        }
    }
    registry.assert_has("copy/app", "v1", &image);
    assert_eq!(layout::files(&home.store()), before, "a push writes nothing here");
}

const FOR_EVER: usize = usize::MAX;

#[test]
fn a_connection_that_is_cut_is_taken_up_again() {
    pushes(&[
        ("PUT /blobs/uploads/", 2, Fault::CutRequest(70_000), End::Whole),
        ("PUT /blobs/uploads/", 2, Fault::Cut, End::Whole),
        ("PUT /blobs/uploads/", 1, Fault::CutAfter, End::Whole),
        ("POST /blobs/uploads/", 2, Fault::Cut, End::Whole),
        ("PUT /manifests/", 1, Fault::CutAfter, End::Whole),
        ("PUT /manifests/", 1, Fault::CutRequest(20), End::Whole),
    ]);
}

#[test]
fn a_registry_that_falls_silent_is_asked_again() {
    pushes(&[
        ("POST /blobs/uploads/", 1, Fault::Delay(SILENCE), End::Whole),
        ("PUT /manifests/", 1, Fault::Delay(SILENCE), End::Whole),
    ]);
}

#[test]
fn a_registry_that_limits_requests_is_obeyed() {
    pushes(&[
        ("PUT /blobs/uploads/", 2, Fault::RateLimited(1), End::Whole),
        ("PUT /manifests/", 1, Fault::RateLimited(0), End::Whole),
    ]);
    let end = End::Failure(Exit::RateLimited, &["HOST/copy/app", "3600 s"]);
    pushes(&[
        ("POST /blobs/uploads/", FOR_EVER, Fault::RateLimited(3600), end),
        ("PUT /manifests/", FOR_EVER, Fault::RateLimited(3600), end),
    ]);
}

#[test]
fn a_registry_in_trouble_is_asked_again() {
    pushes(&[
        ("PUT /blobs/uploads/", 3, Fault::Status(500), End::Whole),
        ("POST /blobs/uploads/", 2, Fault::Status(503), End::Whole),
        ("PUT /manifests/", 2, Fault::Status(502), End::Whole),
    ]);
}

#[test]
fn a_registry_that_claims_to_have_stored_something_else_is_asked_what_it_has() {
    pushes(&[("PUT /blobs/uploads/", FOR_EVER, Fault::lying_digest(), End::Whole)]);
    let end = End::Failure(Exit::Corrupt, &["HOST/copy/app", "sha256:", "corrupt"]);
    pushes(&[
        ("* /blobs/", FOR_EVER, Fault::lying_digest(), end),
        ("* /manifests/", FOR_EVER, Fault::lying_digest(), end),
    ]);
}

#[test]
fn a_registry_that_lies_about_the_length_it_has_is_corrupt() {
    let one = Fault::Answer(200, vec![("content-length".into(), "1".into())], "x".into());
    let words = &["HOST/copy/app", "sha256:", "corrupt", "it has 1 bytes there"];
    pushes(&[("HEAD /blobs/", FOR_EVER, one, End::Failure(Exit::Corrupt, words))]);
}

#[test]
fn what_lasts_is_told_by_name() {
    let cut = End::Failure(Exit::Unreachable, &["HOST/copy/app", "error sending request"]);
    let trouble = End::Failure(Exit::Unreachable, &["HOST/copy/app", "500"]);
    pushes(&[
        ("* /blobs/uploads/", FOR_EVER, Fault::Cut, cut),
        ("PUT /blobs/uploads/", FOR_EVER, Fault::Cut, cut),
        ("PUT /manifests/", FOR_EVER, Fault::Cut, cut),
        ("PUT /blobs/uploads/", FOR_EVER, Fault::Status(500), trouble),
        ("PUT /manifests/", FOR_EVER, Fault::Status(500), trouble),
    ]);
}
