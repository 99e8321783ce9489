//! Reads every row of the tests of distribution/reference and says where corten differs, and why.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use corten_spec::{Digest, Name, Reference};

const ROWS: &str = include_str!("data/reference/rows.tsv");

/// The columns after the first of all rows of one table; missing columns are empty.
fn rows(table: &str) -> Vec<[&'static str; 5]> {
    let mut found = Vec::new();
    for line in ROWS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        if columns.next() == Some(table) {
            let mut row = [""; 5];
            for (cell, column) in row.iter_mut().zip(columns) {
                *cell = column;
            }
            found.push(row);
        }
    }
    assert!(!found.is_empty(), "no rows for {table}");
    found
}

fn optional(text: Option<impl ToString>) -> String {
    text.map(|text| text.to_string()).unwrap_or_default()
}

/// The full forms that a name of the bare grammar may take.
fn completions(name: &str) -> [String; 3] {
    [name.to_owned(), format!("docker.io/{name}"), format!("docker.io/library/{name}")]
}

#[test]
fn the_tables_are_complete() {
    let lines = ROWS.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines, 311);
}

#[test]
fn the_grammar_of_references() {
    // distribution/reference knows only the digests whose Go package is linked in.
    let accepted_here = ["validname@invaliddigest:", "validname@sha512:"];
    for [text, verdict, name, tag, digest] in rows("grammar") {
        let read = Reference::parse(text);
        if accepted_here.iter().any(|known| text.starts_with(known)) {
            assert_eq!(name, "digest.ErrDigestUnsupported", "{text}");
            assert!(read.is_ok(), "{text}: {read:?}");
        } else if verdict == "yes" {
            let read = read.unwrap_or_else(|why| panic!("{text}: {why}"));
            assert!(completions(name).contains(&read.name.to_string()), "{text}: {}", read.name);
            assert_eq!((optional(read.tag), optional(read.digest)), (tag.into(), digest.into()));
        } else {
            assert!(read.is_err(), "{text}: {read:?}");
        }
    }
}

#[test]
fn the_grammar_of_names() {
    for [text, verdict, ..] in rows("name") {
        let read = Reference::parse(text).ok().filter(|r| r.tag.is_none() && r.digest.is_none());
        match read {
            Some(read) => {
                assert_eq!(verdict, "yes", "{text}: {read}");
                assert!(completions(text).contains(&read.name.to_string()), "{text}: {read}");
            }
            // The bare grammar takes the first component for a host; completed, the path is longer
            // than the 255 bytes it may have.
            None if text.len() > 255 && text.starts_with("a/") => assert_eq!(verdict, "yes"),
            None => assert_eq!(verdict, "no", "{text}"),
        }
    }
}

#[test]
fn names_tags_and_digests_combine() {
    // These rows have sha256 digests of 37 digits, which image-spec descriptor.md refuses.
    let (short, whole) = ("1234567890098765432112345667890098765", "a".repeat(64));
    for [text, _, name, tag, _] in rows("combined") {
        let has_digest = text.contains(short);
        assert_eq!(Reference::parse(text).is_err(), has_digest, "{text}");
        let text = text.replace(short, &whole);
        let read = Reference::parse(&text).unwrap();
        assert!(completions(name).contains(&read.name.to_string()), "{text}");
        assert_eq!(
            optional(read.tag.as_ref()),
            tag.replace("latest", &optional(read.tag.as_ref()))
        );
        assert!(read.to_string().ends_with(&text), "{text}: {read}");
        assert_eq!(read.digest.is_some(), has_digest);
    }
}

#[test]
fn a_name_written_in_full_reads_as_itself() {
    for [text, verdict, ..] in rows("canonical") {
        let is_itself = Reference::parse(text).unwrap().to_string() == text;
        assert_eq!(is_itself, verdict == "yes", "{text}");
    }
}

#[test]
fn hosts() {
    for [text, verdict, ..] in rows("host") {
        let read = Name::new(text, "app");
        // The regular expression lets these pass and leaves them to a later validation.
        let port = text.rsplit_once("]:").or(text.rsplit_once(':')).map_or("", |(_, port)| port);
        let impossible_port = port.parse::<u32>().is_ok_and(|port| port > 65535);
        let impossible_address = text.starts_with("[fd00123123123]");
        let expected = verdict == "yes" && !impossible_port && !impossible_address;
        assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
    }
    for text in ["example.com:", "example.com:+80", "[]", "[::1", "[::ffff:192.0.2.1]", "a..b", ""]
    {
        assert!(Name::new(text, "app").is_err(), "{text}");
    }
    assert!(Name::new("[fd00:1:2::3]:5000", "app").is_ok());
}

#[test]
fn sixty_four_hex_digits_name_no_repository() {
    for [text, verdict, ..] in rows("identifier") {
        let is_name = Reference::parse(text).is_ok();
        let upper = text.bytes().any(|b| b.is_ascii_uppercase());
        assert_eq!(is_name, verdict == "no" && !upper, "{text}");
    }
    for [text, digest, ..] in rows("content") {
        let digest: Digest = digest.parse().unwrap();
        if text.contains(':') {
            assert_eq!(text.parse::<Digest>().unwrap(), digest);
        } else {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}

#[test]
fn short_names_are_completed() {
    for [text, verdict, ..] in rows("normalized") {
        let read = Reference::parse(text);
        assert_eq!(read.is_ok(), verdict == "yes", "{text}: {read:?}");
    }
    for [text, full, ..] in rows("equivalent") {
        assert_eq!(Reference::parse(text).unwrap().to_string(), full);
    }
    for [text, host, path, ..] in rows("split") {
        let read = Reference::parse(text).unwrap();
        assert_eq!((read.name.host(), read.name.path()), (host, path), "{text}");
    }
}

#[test]
fn full_names_have_a_short_form() {
    for [short, full, host, path, other] in rows("familiar") {
        for text in [short, full, other].into_iter().filter(|text| !text.is_empty()) {
            let read = Reference::parse(text).unwrap();
            assert_eq!((read.name.host(), read.name.path()), (host, path), "{text}");
            assert_eq!(read.to_string(), full);
            assert_eq!(read.familiar(), short);
        }
    }
}

#[test]
fn a_short_form_always_reads_back() {
    let sixty_four = "a".repeat(64);
    for path in ["localhost/app", "test.com/app", "library/app", "library/a/b", "x/y", "app"] {
        let name = Name::new("docker.io", path).unwrap();
        // docker.io/app cannot be written: every text for it means docker.io/library/app.
        if path != "app" {
            assert_eq!(Reference::parse(&name.familiar()).unwrap().name, name, "{name}");
        }
    }
    let name = Name::new("docker.io", &format!("library/{sixty_four}")).unwrap();
    assert_eq!(Reference::parse(&name.familiar()).unwrap().name, name);
}

#[test]
fn without_tag_and_digest_latest_is_meant() {
    for [text, expected, ..] in rows("docker") {
        let read = Reference::parse(text).unwrap().or_latest();
        // Docker drops a tag beside a digest; corten keeps both.
        let tag = read.digest.as_ref().and(read.tag.clone());
        let expected = match tag {
            Some(tag) => expected.replace('@', &format!(":{tag}@")),
            None => expected.to_owned(),
        };
        assert_eq!(read.to_string(), expected);
    }
}
