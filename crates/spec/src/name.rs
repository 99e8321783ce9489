//! Names: of repositories, of tags, and of descriptors inside a layout.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Reference, ReferenceError};

/// A fully written repository name: host and path, as `registry.example.com:5000/team/app`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    host: Box<str>,
    path: Box<str>,
}

impl Name {
    /// Checks both parts against the grammar of distribution/reference.
    pub fn new(host: &str, path: &str) -> Result<Self, ReferenceError> {
        crate::reference::check_host(host)?;
        crate::reference::check_path(path)?;
        Ok(Self { host: host.into(), path: path.into() })
    }

    /// Host, with its port if it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path below the host.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The shortest text that reads back as this name: without `docker.io` and without `library/`
    /// where nothing else is meant by what remains.
    pub fn familiar(&self) -> String {
        let official = self.path.strip_prefix(crate::reference::OFFICIAL);
        let short = [official, Some(&*self.path)].into_iter().flatten();
        let full = self.to_string();
        if self.host() != crate::reference::DEFAULT_HOST {
            return full;
        }
        short
            .filter(|text| Reference::parse(text).is_ok_and(|read| read.name == *self))
            .map(str::to_owned)
            .next()
            .unwrap_or(full)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// One place where a reference may live: a host and a repository there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Host, with its port if it has one: what to connect to.
    pub host: String,
    /// Repository on that host.
    pub repository: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)
    }
}

/// A tag as registries accept it: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (distribution-spec,
/// Pulling manifests).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tag(Box<str>);

impl Tag {
    /// Checks the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let mut bytes = text.bytes();
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let legal = bytes.next().is_some_and(word)
            && bytes.all(|b| word(b) || b == b'.' || b == b'-')
            && text.len() <= 128;
        if legal { Ok(Self(text.into())) } else { Err(ReferenceError::tag(text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag that stands for an absent one, `latest`.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag under which referrers of `subject` are listed where a registry has no referrers
    /// API (distribution-spec, Referrers Tag Schema).
    pub fn of_referrers(subject: &Digest) -> Self {
        let part = |text: &str, limit: usize| -> String {
            let legal = |c: char| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }
            };
            text.chars().take(limit).map(legal).collect()
        };
        let (algorithm, encoded) = (subject.algorithm_name(), subject.encoded());
        Self(format!("{}-{}", part(algorithm, 32), part(encoded, 64)).into())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = ReferenceError;
    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0.into()
    }
}

/// The name under which a store knows a manifest: a tag in a registry, the value of
/// `org.opencontainers.image.ref.name` in a layout (where it may be a whole reference).
///
/// Accepted is any text of 1 to 512 visible ASCII characters; `is_well_formed` tells whether it
/// keeps the grammar of `annotations.md`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(Box<str>);

impl RefName {
    /// Checks length and characters.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let legal = (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if legal { Ok(Self(text.into())) } else { Err(ReferenceError::ref_name(text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `ref ::= component ("/" component)*`, components of letters and digits joined by one of
    /// `-._:@+` or by `--` (`annotations.md`).
    pub fn is_well_formed(&self) -> bool {
        self.0.split('/').all(|component| {
            component
                .replace("--", "-")
                .split(['-', '.', '_', ':', '@', '+'])
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
        })
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Tag> for RefName {
    fn from(tag: Tag) -> Self {
        Self(tag.0)
    }
}

impl FromStr for RefName {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
