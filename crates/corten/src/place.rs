//! Places as people write them: a transport name, a path or a reference, perhaps a name inside.
//!
//! ```text
//! example.com/team/app:1.0            a registry (docker:// may stand before it)
//! oci:DIR[:NAME | @DIGEST]            an OCI layout
//! oci-archive:FILE[:NAME | @DIGEST]   an OCI layout in a tar; FILE `-` is standard input or output
//! dir:PATH                            one image as a flat directory of files
//! store:NAME | store:@DIGEST          the local store
//! -                                   the same as oci-archive:-
//! ```

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use corten_spec::{Digest, RefName, Reference, ReferenceError, Tag};
use corten_store::Selector;

/// A place that holds images, with what picks one there if anything does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A repository of a registry.
    Registry(Reference),
    /// An OCI layout in a directory.
    Layout(PathBuf, Option<Selector>),
    /// An OCI layout in a tar; the path `-` is a standard stream.
    Archive(PathBuf, Option<Selector>),
    /// One image in a flat directory.
    Directory(PathBuf),
    /// The local store.
    Store(StoreName),
    /// A bare name where reading verbs take one: the local store if it has it, else its registry.
    Bare(StoreName),
}

/// How the local store knows an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    /// By its full reference.
    Reference(Reference),
    /// By its digest.
    Digest(Digest),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A transport without a path.
    #[error("'{0}' names no path: write {1}")]
    Path(String, &'static str),
    /// A transport of another tool.
    #[error(
        "'{0}' is not a place corten knows; there are docker://, oci:, oci-archive:, dir:, store: and -"
    )]
    Transport(String),
    /// The reference or name inside.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// Transports of the field that corten does not have: refused by name, since `docker-daemon:x`
/// would otherwise pass for a reference.
const FOREIGN: [&str; 7] = [
    "docker-daemon:",
    "docker-archive:",
    "containers-storage:",
    "containerd:",
    "sif:",
    "tarball:",
    "ostree:",
];

impl Place {
    /// Reads a place for `copy`: a bare name is a registry.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        match Self::parse_bare(text)? {
            Self::Bare(StoreName::Reference(reference)) => Ok(Self::Registry(reference)),
            Self::Bare(digest) => Ok(Self::Store(digest)),
            other => Ok(other),
        }
    }

    /// Reads a place for a verb that looks at an image: a bare name is the local store's first.
    pub fn parse_bare(text: &str) -> Result<Self, PlaceError> {
        if let Some(foreign) = FOREIGN.iter().find(|prefix| text.starts_with(*prefix)) {
            return Err(PlaceError::Transport((*foreign).to_owned()));
        }
        if text == "-" {
            return Ok(Self::Archive(PathBuf::from("-"), None));
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return Ok(Self::Registry(Reference::parse(rest)?));
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (path, selector) = path_and_selector(rest, "oci-archive:FILE[:NAME]")?;
            return Ok(Self::Archive(path, selector));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, selector) = path_and_selector(rest, "oci:DIR[:NAME]")?;
            return Ok(Self::Layout(path, selector));
        }
        if let Some(rest) = text.strip_prefix("dir:") {
            if rest.is_empty() {
                return Err(PlaceError::Path(text.to_owned(), "dir:PATH"));
            }
            return Ok(Self::Directory(PathBuf::from(rest)));
        }
        if let Some(rest) = text.strip_prefix("store:") {
            return Ok(Self::Store(StoreName::parse(rest)?));
        }
        Ok(Self::Bare(StoreName::parse(text)?))
    }
}

/// `PATH`, `PATH:NAME` or `PATH@DIGEST`; a path has no colon in it, as with the peers.
fn path_and_selector(
    text: &str,
    form: &'static str,
) -> Result<(PathBuf, Option<Selector>), PlaceError> {
    let (path, selector) = match text.split_once('@') {
        Some((path, digest)) if Digest::parse(digest).is_ok() => {
            let digest = Digest::parse(digest).map_err(ReferenceError::from)?;
            (path, Some(Selector::Digest(digest)))
        }
        _ => match text.split_once(':') {
            Some((path, name)) => (path, Some(Selector::Name(RefName::parse(name)?))),
            None => (text, None),
        },
    };
    if path.is_empty() {
        return Err(PlaceError::Path(text.to_owned(), form));
    }
    Ok((PathBuf::from(path), selector))
}

impl StoreName {
    /// A digest (`sha256:…`, `@` before it allowed) or a reference.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let digest = text.strip_prefix('@').unwrap_or(text);
        if let Ok(digest) = Digest::parse(digest)
            && digest.algorithm().is_ok()
        {
            return Ok(Self::Digest(digest));
        }
        Reference::parse(text).map(Self::Reference)
    }

    /// What picks the image in the local store: names there are whole references, with `latest`
    /// where no tag is given.
    pub fn selector(&self) -> Result<Selector, ReferenceError> {
        match self {
            Self::Digest(digest) => Ok(Selector::Digest(digest.clone())),
            Self::Reference(Reference { digest: Some(digest), .. }) => {
                Ok(Selector::Digest(digest.clone()))
            }
            Self::Reference(reference) => ref_name(reference).map(Selector::Name),
        }
    }
}

/// The name of `reference` in the local store: `host/path:tag`.
pub(crate) fn ref_name(reference: &Reference) -> Result<RefName, ReferenceError> {
    let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
    RefName::parse(&format!("{}:{tag}", reference.name))
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = |selector: &Option<Selector>| match selector {
            Some(Selector::Name(name)) => format!(":{name}"),
            Some(Selector::Digest(digest)) => format!("@{digest}"),
            None => String::new(),
        };
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::Layout(path, selector) => {
                write!(f, "oci:{}{}", path.display(), inside(selector))
            }
            Self::Archive(path, selector) => {
                write!(f, "oci-archive:{}{}", path.display(), inside(selector))
            }
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Store(name) => write!(f, "store:{name}"),
            Self::Bare(name) => name.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Place::parse(text).unwrap().to_string()
    }

    #[test]
    fn a_place_is_written_as_the_peers_write_it() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let rows = [
            ("debian", "docker://docker.io/library/debian".to_owned()),
            ("docker://example.com/a:1", "docker://example.com/a:1".to_owned()),
            ("oci:/tmp/x", "oci:/tmp/x".to_owned()),
            ("oci:/tmp/x:1.0", "oci:/tmp/x:1.0".to_owned()),
            ("oci:x:example.com/a:1", "oci:x:example.com/a:1".to_owned()),
            (&format!("oci:x@{digest}"), format!("oci:x@{digest}")),
            ("oci-archive:a.tar:v1", "oci-archive:a.tar:v1".to_owned()),
            ("-", "oci-archive:-".to_owned()),
            ("dir:/tmp/a:b", "dir:/tmp/a:b".to_owned()),
            ("store:a/b", "store:docker.io/a/b".to_owned()),
            (&digest, format!("store:{digest}")),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_bare_name_is_the_local_stores_where_a_verb_reads() {
        let place = Place::parse_bare("debian:13").unwrap();
        assert!(matches!(place, Place::Bare(StoreName::Reference(_))), "{place:?}");
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_there_is() {
        for text in ["", "oci:", "oci-archive::x", "dir:", "docker-daemon:x", "a b", "oci:x:"] {
            assert!(Place::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_store_knows_an_image_by_its_whole_reference() {
        let Place::Store(name) = Place::parse("store:app").unwrap() else { panic!("store") };
        let expected = RefName::parse("docker.io/library/app:latest").unwrap();
        assert_eq!(name.selector().unwrap(), Selector::Name(expected));
    }
}
