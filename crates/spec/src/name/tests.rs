//! Tags and names of descriptors.

use super::*;

#[test]
fn the_grammar_of_tags() {
    let longest = "a".repeat(128);
    for text in ["latest", "_", "1.0-rc.1", "A", &longest] {
        assert_eq!(Tag::parse(text).unwrap().as_str(), text);
    }
    let longer = "a".repeat(129);
    for text in ["", ".a", "-a", "a/b", "a:b", "a+b", "a b", "é", &longer] {
        assert!(Tag::parse(text).is_err(), "{text}");
    }
}

/// The three rows of distribution-spec `spec.md`, Referrers Tag Schema.
#[test]
fn the_tag_that_lists_referrers() {
    let a = "a".repeat(64);
    let table = [
        (format!("sha256:{a}"), format!("sha256-{a}")),
        (format!("sha512:{a}{a}"), format!("sha512-{a}")),
        (
            "test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall\
             +truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLots\
             OfCharactersToExcerciseEncodedTruncation"
                .to_owned(),
            "test-algorithm-using-algorithm-s-\
             alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot"
                .to_owned(),
        ),
    ];
    for (digest, expected) in table {
        let tag = Tag::of_referrers(&Digest::parse(&digest).unwrap());
        assert_eq!(tag.as_str(), expected);
        assert!(Tag::parse(tag.as_str()).is_ok());
    }
}

#[test]
fn names_inside_a_layout() {
    for text in ["v1.0", "stable-release", "a--b", "docker.io/library/a:1@sha256", "A+b/c_d"] {
        assert!(RefName::parse(text).unwrap().is_well_formed(), "{text}");
    }
    for text in ["a---b", "-a", "a/", "/a", "a//b", "a..b", "a#b", "a-.b"] {
        assert!(!RefName::parse(text).unwrap().is_well_formed(), "{text}");
    }
    let long = "a".repeat(513);
    for text in ["", "a b", "é", "a\n", &long] {
        assert!(RefName::parse(text).is_err(), "{text}");
    }
}
