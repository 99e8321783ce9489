//! References: how people name an image (the grammar of distribution/reference).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::{Digest, Name, Tag};

/// Why a text is no reference, or no part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The whole text is not `[host/]path[:tag][@digest]`.
    #[error("'{0}' is not an image reference: {1}")]
    Reference(String, &'static str),
    /// Not a host.
    #[error("'{0}' is not a registry host")]
    Host(String),
    /// Not a repository path.
    #[error("'{0}' is not a repository path: {1}")]
    Path(String, &'static str),
    /// Not a tag.
    #[error(
        "'{0}' is not a tag: up to 128 letters, digits, '_', '.', '-', not starting with '.' or '-'"
    )]
    Tag(String),
    /// Not a name for a descriptor of a layout.
    #[error("'{0}' cannot name an image: 1 to 512 visible ASCII characters")]
    RefName(String),
    /// The part after `@`.
    #[error(transparent)]
    Digest(#[from] crate::DigestError),
}

impl ReferenceError {
    pub(crate) fn tag(text: &str) -> Self {
        Self::Tag(clip(text))
    }

    pub(crate) fn ref_name(text: &str) -> Self {
        Self::RefName(clip(text))
    }
}

fn clip(text: &str) -> String {
    text.chars().take(160).collect()
}

/// A name with an optional tag and an optional digest.
///
/// Short forms are completed as the field does: `debian` is `docker.io/library/debian`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Host and path.
    pub name: Name,
    /// Tag, as given; absent is not `latest` here.
    pub tag: Option<Tag>,
    /// Digest, as given.
    pub digest: Option<Digest>,
}

/// The host that short names belong to.
pub(crate) const DEFAULT_HOST: &str = "docker.io";

/// Where the host has repositories without a namespace.
pub(crate) const OFFICIAL: &str = "library/";

/// Longest reference in bytes: room for the longest host, path, tag and sha512 digest.
const MAX_REFERENCE: usize = 1024;

/// Longest host with port, in bytes.
const MAX_HOST: usize = 255;

/// Longest repository path in bytes (distribution/reference).
const MAX_PATH: usize = 255;

impl Reference {
    /// Reads `[host/]path[:tag][@digest]`.
    ///
    /// The grammar is that of distribution/reference, with these differences. Digests follow
    /// image-spec `descriptor.md`, so an algorithm that is not registered is legal here and is
    /// refused where content is verified. Ports are at most 65535 and what stands in brackets is
    /// an IPv6 address, where the regular expressions leave that to later.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let refuse = |why| ReferenceError::Reference(clip(text), why);
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > MAX_REFERENCE {
            return Err(refuse("it is longer than 1024 characters"));
        }
        if is_identifier(text) {
            return Err(refuse("64 hex digits name content, not a repository"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(after_slash..).and_then(|last| last.rfind(':')) {
            Some(colon) => {
                let (name, tag) = rest.split_at(after_slash + colon);
                (name, Some(Tag::parse(tag.strip_prefix(':').unwrap_or(tag))?))
            }
            None => (rest, None),
        };
        Ok(Self { name: complete(name)?, tag, digest })
    }

    /// The shortest text that reads back as the same reference: `docker.io/library/debian:12` is
    /// `debian:12`.
    pub fn familiar(&self) -> String {
        let name = self.name.familiar();
        Parts { name: &name, tag: self.tag.as_ref(), digest: self.digest.as_ref() }.to_string()
    }

    /// The same reference, with the tag `latest` where it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(Tag::latest());
        }
        self
    }
}

/// 64 lower-case hex digits: distribution/reference keeps them for content identifiers.
fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

struct Parts<'a> {
    name: &'a str,
    tag: Option<&'a Tag>,
    digest: Option<&'a Digest>,
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(tag) = self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn complete(name: &str) -> Result<Name, ReferenceError> {
    let is_host = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DEFAULT_HOST, name),
    };
    let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
    if host == DEFAULT_HOST && !path.contains('/') {
        return Name::new(host, &format!("{OFFICIAL}{path}"));
    }
    Name::new(host, path)
}

/// `host[:port]`: DNS labels, IPv4, or IPv6 in brackets.
pub(crate) fn check_host(host: &str) -> Result<(), ReferenceError> {
    let error = || ReferenceError::Host(clip(host));
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(error)?;
            // Neither zones nor embedded IPv4 addresses.
            let legal = |b: u8| b.is_ascii_hexdigit() || b == b':';
            if !address.bytes().all(legal) || address.parse::<Ipv6Addr>().is_err() {
                return Err(error());
            }
            ("", port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let label = |l: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !l.is_empty() && l.bytes().all(legal) && !l.starts_with('-') && !l.ends_with('-')
    };
    let named = host.starts_with('[') || name.split('.').all(label);
    let ported = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok());
    if named && ported && host.len() <= MAX_HOST { Ok(()) } else { Err(error()) }
}

/// Lower-case components joined by `.`, `_`, `__` or dashes, separated by slashes.
pub(crate) fn check_path(path: &str) -> Result<(), ReferenceError> {
    let refuse = |why| Err(ReferenceError::Path(clip(path), why));
    if path.len() > MAX_PATH {
        return refuse("it is longer than 255 characters");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return refuse("it must be lower case");
    }
    if path.split('/').all(is_component) {
        Ok(())
    } else {
        refuse("each part is letters and digits, joined by '.', '_', '__' or '-'")
    }
}

fn is_component(component: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let mut rest = bytes;
    loop {
        let run = rest.iter().take_while(|b| word(b)).count();
        if run == 0 {
            return false;
        }
        rest = rest.get(run..).unwrap_or_default();
        let separator = rest.iter().take_while(|b| !word(b)).count();
        match rest.get(..separator).unwrap_or_default() {
            b"" => return true,
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|b| *b == b'-') => {}
            _ => return false,
        }
        rest = rest.get(separator..).unwrap_or_default();
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.to_string();
        Parts { name: &name, tag: self.tag.as_ref(), digest: self.digest.as_ref() }.fmt(f)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}
