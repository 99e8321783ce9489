//! The words of the protocol under noise: no input makes a parser fail in any other way than by
//! its result, and what was read is written and read again as the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use corten_registry::wire::{
    Challenge, ErrorCode, Link, Range, Refused, Repository, Route, Scope, Served, Session, Target,
    Wanted,
};
use corten_testkit::Dice;

const ROUNDS: usize = 20_000;
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A text made of pieces that mean something, of single characters, and of noise.
fn text(dice: &mut Dice, pieces: &[&str]) -> String {
    let mut text = String::new();
    for _ in 0..dice.below(10) {
        match dice.below(8) {
            0 => text.push(char::from_u32(dice.below(0x500) as u32).unwrap_or('?')),
            1 => text.push(char::from(dice.below(128) as u8)),
            _ => text.push_str(pieces[dice.below(pieces.len() as u64) as usize]),
        }
    }
    text
}

#[test]
fn routes_that_are_read_are_written_as_they_were_meant() {
    let pieces = [
        "/v2/",
        "/v2/a/",
        "/",
        "a",
        "b-c",
        "blobs",
        "/blobs/",
        "uploads/",
        "manifests/",
        "tags/list",
        "referrers/",
        "_catalog",
        DIGEST,
        "v1",
        "%3A",
        "%2F",
        "%",
        "..",
        "A",
    ];
    let keys = [
        "n=",
        "last=",
        "digest=",
        "mount=",
        "from=",
        "tag=",
        "artifactType=",
        "digest-algorithm=",
        "&",
        "1",
        "a",
        DIGEST,
        "sha512",
        "%2B",
        "x/y",
        "=",
    ];
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "get", ""];
    let (mut dice, mut read) = (Dice::new(1), 0);
    for _ in 0..ROUNDS {
        let mut path = text(&mut dice, &pieces);
        if dice.below(2) == 0 {
            let mut pick = |from: &[&'static str]| from[dice.below(from.len() as u64) as usize];
            let resources = ["blobs", "manifests", "blobs/uploads", "referrers", "tags"];
            let targets = [DIGEST, "v1", "list", "", "sha256%3Aab", "-"];
            let name = pick(&["a", "a/b", "blobs/uploads", "A", "tags"]);
            path = format!("/v2/{name}/{}/{}", pick(&resources), pick(&targets));
        }
        let query = text(&mut dice, &keys);
        let method = methods[dice.below(methods.len() as u64) as usize];
        let Ok(route) = Route::parse(method, &path, Some(&query)) else { continue };
        read += 1;
        let written = route.to_path();
        let (path, query) = written.split_once('?').unwrap_or((&written, ""));
        let again = Route::parse(route.method(), path, Some(query));
        // Only the ping has two methods and one writing.
        assert_eq!(again.as_ref(), Ok(&route), "{written}");
    }
    assert!(read > 500, "only {read} of the texts were routes");
}

#[test]
fn challenges_and_links_that_are_read_are_written_as_they_were_meant() {
    let pieces = [
        "Bearer ",
        "Basic ",
        "realm=",
        "service=",
        "scope=",
        "error=",
        "\"",
        "\\",
        ",",
        ";",
        " ",
        "=",
        "https://a/b",
        "<",
        ">",
        "rel=",
        "next",
        "<a>; rel=\"next\"",
        "x",
    ];
    let mut dice = Dice::new(2);
    for _ in 0..ROUNDS {
        let text = text(&mut dice, &pieces);
        for challenge in Challenge::parse([text.as_str()]) {
            let written = challenge.to_string();
            let again = Challenge::parse([written.as_str()]);
            assert_eq!(again.len(), 1, "{text:?} {written:?}");
            assert_eq!(again[0].to_string(), written, "{text:?}");
        }
        for link in Link::parse([text.as_str()]) {
            let written = link.to_string();
            let again = Link::parse([written.as_str()]);
            assert_eq!(again.len(), 1, "{text:?} {written:?}");
            assert_eq!(again[0].to_string(), written, "{text:?}");
        }
    }
}

#[test]
fn ranges_that_are_read_are_written_as_they_were_meant() {
    let pieces = ["bytes", "=", " ", "-", "0", "7", "99", "/", "*", ",", "18446744073709551615"];
    let mut dice = Dice::new(3);
    for _ in 0..ROUNDS {
        let text = text(&mut dice, &pieces);
        if let Some(range) = Range::parse(&text) {
            assert_eq!(Range::parse(&range.to_string()), Some(range));
            assert_eq!(range.end() - range.first(), range.len());
        }
        if let Some(wanted) = Wanted::parse(&text) {
            assert_eq!(Wanted::parse(&wanted.to_string()), Some(wanted));
            let within = wanted.within(50);
            assert!(within.is_none_or(|range| range.end() <= 50), "{text}");
        }
        if let Some(served) = Served::parse(&text) {
            assert_eq!(Served::parse(&served.to_string()), Some(served));
        }
    }
}

#[test]
fn names_scopes_and_refusals_that_are_read_are_written_as_they_were_meant() {
    let pieces = [
        "repository",
        ":",
        "a",
        "/",
        "pull",
        ",",
        "push",
        "*",
        " ",
        "{\"errors\":[",
        "{\"code\":",
        "\"DENIED\"",
        "}",
        "]",
        "\"message\":",
        "null",
        "sha256",
        DIGEST,
    ];
    let mut dice = Dice::new(4);
    for _ in 0..ROUNDS {
        let text = text(&mut dice, &pieces);
        if let Some(scope) = Scope::parse(&text) {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        if let Ok(name) = Repository::parse(&text) {
            assert_eq!(name.as_str(), text);
        }
        if let Ok(target) = Target::parse(&text) {
            assert_eq!(target.to_string(), text);
        }
        if let Some(session) = Session::parse(&text) {
            assert_eq!(session.as_str(), text);
        }
        let refused = Refused::parse(text.as_bytes());
        assert_eq!(Refused::parse(&refused.write()), refused);
        assert_eq!(ErrorCode::parse(ErrorCode::parse(&text).as_str()), ErrorCode::parse(&text));
    }
}
