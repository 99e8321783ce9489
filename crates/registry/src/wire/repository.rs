//! The words that stand in a route: repository, tag or digest, upload session.

use std::fmt;

use corten_spec::{Digest, DigestError, Name, ReferenceError, Tag};

/// The path of a repository on its registry, `team/app` (distribution-spec, Pulling manifests).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Box<str>);

impl Repository {
    /// Checks the grammar: lower-case components joined by `.`, `_`, `__` or dashes, separated by
    /// slashes, 255 characters at the most.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        // The grammar of the path does not depend on the host.
        Name::new("localhost", text).map(|name| Self(name.path().into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a manifest is asked for by: `<tag-or-digest>` of the specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// By tag.
    Tag(Tag),
    /// By content address.
    Digest(Digest),
}

impl Target {
    /// A text with a colon is a digest, any other a tag.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            let digest: Result<Digest, DigestError> = Digest::parse(text);
            Ok(Self::Digest(digest?))
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The name a server gave to one upload. A client never makes one: it follows `Location`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(Box<str>);

/// Longest name of a session.
const MAX_SESSION: usize = 128;

impl Session {
    /// 1 to 128 letters, digits, `-`, `_`, `=`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_=".contains(&b);
        let fits = (1..=MAX_SESSION).contains(&text.len());
        (fits && text.bytes().all(legal)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_keeps_the_grammar_of_names() {
        for good in ["a", "library/debian", "a/b/c/d", "a.b_c__d-e---f/g", "blobs/uploads"] {
            assert_eq!(Repository::parse(good).unwrap().as_str(), good);
        }
        let long = "a/".repeat(128) + "a";
        for bad in ["", "/", "a/", "/a", "a//b", "A", "a/../b", "..", "a:b", "_catalog", &long] {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_with_a_colon_is_a_digest() {
        let digest = Digest::sha256(b"");
        assert_eq!(Target::parse(digest.as_str()), Ok(Target::Digest(digest)));
        assert_eq!(Target::parse("v1.0"), Ok(Target::Tag(Tag::parse("v1.0").unwrap())));
        assert!(matches!(Target::parse("sha256:abc"), Err(ReferenceError::Digest(_))));
        assert!(matches!(Target::parse(".x"), Err(ReferenceError::Tag(_))));
    }

    #[test]
    fn a_session_is_a_short_plain_word() {
        assert_eq!(Session::parse("0f-A_=").unwrap().as_str(), "0f-A_=");
        for bad in ["", "a/b", "a b", "..", "é", &"x".repeat(129)] {
            assert!(Session::parse(bad).is_none(), "{bad}");
        }
    }
}
