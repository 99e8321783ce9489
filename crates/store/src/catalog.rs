//! What `index.json` and the documents behind it say, for a layout in a directory and for one in
//! an archive alike.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use corten_spec::{
    AnyDocument, Descriptor, Digest, MAX_DOCUMENT, MediaType, Mismatch, RefName, annotation,
};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::region::Region;
use crate::walk::{MAX_DEPTH, MAX_DOCUMENTS, children, describe_referrer};
use crate::{ByteStream, Kind, Resolved, Selector, StoreError};

/// Most bytes of `index.json`: about 150 000 entries.
pub const MAX_LAYOUT_INDEX: u64 = 64 * 1024 * 1024;
/// Most bytes of `oci-layout`.
pub(crate) const MAX_LAYOUT_HEADER: u64 = 64 * 1024;
/// How many documents are remembered by what they refer to.
const MAX_FACTS: usize = 16 * 1024;

/// The file that says that a directory is a layout (image-spec `image-layout.md`).
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
/// The list of what a layout holds.
pub(crate) const INDEX_FILE: &str = "index.json";
/// What `oci-layout` must hold.
pub(crate) const LAYOUT_HEADER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// One entry of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// What it points at, as it stands there.
    pub descriptor: Descriptor,
    /// Its name, where it has one that can be used.
    pub name: Option<RefName>,
}

/// Where a layout's files are read from.
pub(crate) trait Shelf {
    /// The place in words.
    fn place(&self) -> String;
    /// What `index.json` lists now.
    fn entries(&self) -> Result<Vec<IndexEntry>, StoreError>;
    /// The bytes of a blob; `None` when there is none.
    fn region(&self, digest: &Digest) -> Result<Option<Region>, StoreError>;
    /// The type of a document that does not tell it itself.
    fn noted_type(&self, digest: &Digest) -> Result<Option<MediaType>, StoreError>;
}

fn malformed(place: &str, object: &str, source: impl Into<crate::Cause>) -> StoreError {
    StoreError::Malformed {
        object: object.to_owned(),
        place: place.to_owned(),
        source: source.into(),
    }
}

/// Checks the bytes of `oci-layout`; unknown fields are legal.
pub(crate) fn check_header(place: &str, bytes: &[u8]) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Header {
        image_layout_version: String,
    }
    let header: Header =
        serde_json::from_slice(bytes).map_err(|error| malformed(place, LAYOUT_FILE, error))?;
    let version = header.image_layout_version;
    if version == "1" || version.starts_with("1.") {
        return Ok(());
    }
    let shown: String = version.chars().take(32).collect();
    Err(malformed(place, LAYOUT_FILE, format!("layout version '{shown}' is not supported")))
}

/// The bytes of `index.json` as a JSON object, so that what corten does not know survives.
pub(crate) fn parse_index(place: &str, bytes: &[u8]) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(place, INDEX_FILE, error))
}

/// The entries that the bytes of `index.json` list. What corten does not know is passed over and
/// not kept: as values in memory, a list of tiny objects is a hundred times as large as its text.
pub(crate) fn entries(place: &str, bytes: &[u8]) -> Result<Vec<IndexEntry>, StoreError> {
    #[derive(Deserialize)]
    struct Listed {
        #[serde(default)]
        manifests: Option<Vec<Descriptor>>,
    }
    let entry = |descriptor: Descriptor| {
        let name = descriptor.annotations.get(annotation::REF_NAME);
        // A name that no reference can have is legal to stand there, but cannot be asked for.
        let name = name.and_then(|name| RefName::parse(name).ok());
        IndexEntry { descriptor, name }
    };
    // A list would pass for an object whose fields are in order. Nothing at all is left to the
    // parser, which tells an early end from other errors.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(malformed(place, INDEX_FILE, "it is no JSON object"));
    }
    let listed: Listed =
        serde_json::from_slice(bytes).map_err(|error| malformed(place, INDEX_FILE, error))?;
    Ok(listed.manifests.unwrap_or_default().into_iter().map(entry).collect())
}

/// What a new entry says of a document: the pointer, its platform and artifact type.
pub(crate) fn entry_of(document: &AnyDocument) -> Descriptor {
    let mut descriptor = describe_referrer(document);
    descriptor.platform = document.descriptor().platform.clone();
    descriptor.annotations.clear();
    if descriptor.artifact_type.as_ref().is_some_and(MediaType::is_config) {
        // An image, not an artifact: its config is no news.
        descriptor.artifact_type = None;
    }
    descriptor
}

/// All names, sorted, each once.
pub(crate) fn names(shelf: &impl Shelf) -> Result<Vec<RefName>, StoreError> {
    let mut names: Vec<_> = shelf.entries()?.into_iter().filter_map(|entry| entry.name).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Finds a manifest by its name or, listed or not, by its digest.
pub(crate) fn resolve(shelf: &impl Shelf, selector: &Selector) -> Result<Resolved, StoreError> {
    let missing = || StoreError::NotFound { object: selector.to_string(), place: shelf.place() };
    let listed = shelf.entries()?.into_iter().find(|entry| match selector {
        Selector::Name(name) => entry.name.as_ref() == Some(name),
        Selector::Digest(digest) => entry.descriptor.digest == *digest,
    });
    match (listed, selector) {
        (Some(entry), _) => {
            let descriptor = entry.descriptor;
            let document = document(shelf, &descriptor)?.ok_or_else(|| StoreError::NotFound {
                object: descriptor.digest.to_string(),
                place: shelf.place(),
            })?;
            Ok(Resolved { descriptor, document: Some(document) })
        }
        (None, Selector::Name(_)) => Err(missing()),
        (None, Selector::Digest(digest)) => {
            let region = shelf.region(digest)?.filter(|region| region.len <= MAX_DOCUMENT);
            let bytes = region.ok_or_else(missing)?.read_small(("a manifest", MAX_DOCUMENT))?;
            let noted = shelf.noted_type(digest)?;
            let media_type = noted.or_else(|| sniff(&bytes)).ok_or_else(missing)?;
            let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
            let document = parse(shelf, &descriptor, bytes)?;
            Ok(Resolved { descriptor, document: Some(document) })
        }
    }
}

/// The document a descriptor points at, verified; `None` when the layout does not have it.
pub(crate) fn document(
    shelf: &impl Shelf,
    descriptor: &Descriptor,
) -> Result<Option<AnyDocument>, StoreError> {
    let Some(region) = shelf.region(&descriptor.digest)? else {
        return Ok(None);
    };
    let bytes = region.read_small(("a manifest", MAX_DOCUMENT))?;
    parse(shelf, descriptor, bytes).map(Some)
}

fn parse(
    shelf: &impl Shelf,
    descriptor: &Descriptor,
    bytes: Bytes,
) -> Result<AnyDocument, StoreError> {
    AnyDocument::parse(descriptor, bytes).map_err(|error| StoreError::Corrupt {
        object: descriptor.digest.to_string(),
        place: shelf.place(),
        source: error.into(),
    })
}

/// The type of a document by what stands inside; `None` when it is not known to be one.
pub(crate) fn sniff(bytes: &[u8]) -> Option<MediaType> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<MediaType>,
        manifests: Option<IgnoredAny>,
        config: Option<IgnoredAny>,
        layers: Option<IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    match shape {
        Shape { media_type: Some(media_type), .. } => Some(media_type),
        Shape { manifests: Some(_), .. } => Some(MediaType::OCI_INDEX),
        Shape { config: Some(_), layers: Some(_), .. } => Some(MediaType::OCI_MANIFEST),
        _ => None,
    }
}

/// What is remembered of documents: their content never changes, so it is never wrong.
#[derive(Debug, Default)]
pub(crate) struct Facts(Mutex<HashMap<Digest, Arc<Fact>>>);

#[derive(Debug)]
struct Fact {
    subject: Option<Digest>,
    as_referrer: Descriptor,
    manifests: Vec<Descriptor>,
}

impl Facts {
    /// Whether the document is there and refers to another one.
    pub(crate) fn has_subject(&self, shelf: &impl Shelf, descriptor: &Descriptor) -> bool {
        is_document(descriptor)
            && self.of(shelf, descriptor).is_some_and(|fact| fact.subject.is_some())
    }

    fn of(&self, shelf: &impl Shelf, descriptor: &Descriptor) -> Option<Arc<Fact>> {
        let known = |facts: &Self| {
            let facts = facts.0.lock().unwrap_or_else(PoisonError::into_inner);
            facts.get(&descriptor.digest).cloned()
        };
        if let Some(fact) = known(self) {
            return Some(fact);
        }
        // A document that is missing or broken refers to nothing; `check` is who tells of it.
        let document = document(shelf, descriptor).ok()??;
        let manifests = children(&document).into_iter();
        let manifests = manifests
            .filter(|child| child.kind == Kind::Manifest && is_document(child.descriptor))
            .map(|child| child.descriptor.bare())
            .collect();
        let fact = Arc::new(Fact {
            subject: document.subject().map(|subject| subject.digest.clone()),
            as_referrer: describe_referrer(&document),
            manifests,
        });
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.len() >= MAX_FACTS {
            facts.clear();
        }
        facts.insert(descriptor.digest.clone(), fact.clone());
        Some(fact)
    }
}

fn is_document(descriptor: &Descriptor) -> bool {
    descriptor.media_type.is_manifest() || descriptor.media_type.is_index()
}

/// Every document reachable from `index.json` whose subject is `subject`, by digest. The index
/// under the referrers tag is one of the entries, so what it lists is found too; but only what
/// really has that subject counts.
pub(crate) fn referrers(
    shelf: &impl Shelf,
    facts: &Facts,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Vec<Descriptor>, StoreError> {
    let mut found = Vec::new();
    let mut seen: HashSet<Digest> = HashSet::new();
    let entries = shelf.entries()?.into_iter().map(|entry| (entry.descriptor, 1));
    let mut queue: Vec<(Descriptor, usize)> = entries.collect();
    while let Some((descriptor, depth)) = queue.pop() {
        if !is_document(&descriptor) || !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        if seen.len() > MAX_DOCUMENTS {
            return Err(malformed(&shelf.place(), INDEX_FILE, "it reaches too many documents"));
        }
        let Some(fact) = facts.of(shelf, &descriptor) else {
            continue;
        };
        let wanted =
            artifact_type.is_none() || fact.as_referrer.artifact_type.as_ref() == artifact_type;
        if wanted && fact.subject.as_ref() == Some(subject) {
            found.push(fact.as_referrer.clone());
        }
        if depth < MAX_DEPTH {
            queue.extend(fact.manifests.iter().map(|child| (child.clone(), depth + 1)));
        }
    }
    found.sort_unstable_by(|a, b| a.digest.cmp(&b.digest));
    Ok(found)
}

/// Streams a blob from `offset` on; its size is compared first, its digest is the reader's to check.
pub(crate) fn fetch(
    shelf: &impl Shelf,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<ByteStream, StoreError> {
    let digest = &descriptor.digest;
    let region = shelf
        .region(digest)?
        .ok_or_else(|| StoreError::NotFound { object: digest.to_string(), place: shelf.place() })?;
    let (size, got) = (descriptor.size, region.len);
    if got != size {
        let digest = digest.clone();
        let mismatch = if got > size {
            Mismatch::TooLong { digest, size }
        } else {
            Mismatch::TooShort { digest, size, got }
        };
        return Err(StoreError::Corrupt {
            object: descriptor.digest.to_string(),
            place: shelf.place(),
            source: mismatch.into(),
        });
    }
    region.stream(offset)
}

/// The bytes of a document from `offset` on.
pub(crate) fn stream_of(bytes: &Bytes, offset: u64) -> ByteStream {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let rest = bytes.slice(from..);
    stream::iter((!rest.is_empty()).then_some(Ok(rest))).boxed()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_read_beside_what_nobody_knows() {
        let digest = Digest::sha256(b"x");
        let entry = json!({"mediaType": "a/b", "digest": digest, "size": 1, "theirs": [{"": 0}]});
        let index = json!({"theirs": [{"": 0}], "manifests": [entry]}).to_string();
        let found = entries("here", index.as_bytes()).unwrap();
        assert_eq!(found[0].descriptor.digest, digest);
        for empty in ["{}", r#"{"manifests": null}"#] {
            assert_eq!(entries("here", empty.as_bytes()).unwrap(), []);
        }
        for wrong in ["", "1", "[]", r#"{"manifests": {}}"#, r#"{"manifests": [1]}"#] {
            assert!(entries("here", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
