//! The rules of `image-index.md`, of the `index.json` of a layout, and of the Docker list.

use std::collections::HashMap;

use super::descriptor::{self, Place};
use super::findings::Findings;
use super::json::{Value, clip};
use super::manifest::{foreign, own_media_type, schema_version, subject};
use super::node::{Family, Kind, Need, Node};
use super::table::Code;
use super::{DocumentKind, annotations};
use crate::{MediaType, annotation};

const FAMILY: Family =
    Family { missing: Code::IndexPropertyMissing, mistyped: Code::IndexPropertyType };

const KNOWN: [&str; 6] =
    ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];

/// Checks an index.
pub(super) fn check(report: &mut Findings, root: &Node<'_>, kind: DocumentKind) {
    root.near_misses(report, &KNOWN);
    for name in ["config", "layers"] {
        if let Some(node) = root.member(name) {
            node.report(report, Code::DocumentAmbiguous, format!("an index has no '{name}'"));
        }
    }
    schema_version(report, root, FAMILY, Code::IndexSchemaVersion);
    let codes = (Code::IndexMediaTypeAbsent, Code::IndexMediaTypeValue);
    let own = match kind {
        DocumentKind::DockerList => MediaType::DOCKER_LIST,
        _ => MediaType::OCI_INDEX,
    };
    own_media_type(report, root, FAMILY, (&own, codes));
    let artifact_type = root.text_property(report, FAMILY, ("artifactType", Need::Optional));
    if let Some((node, text)) = artifact_type {
        descriptor::well_formed(report, &node, text, Code::IndexArtifactTypeGrammar);
    }
    entries(report, root, kind);
    subject(report, root, FAMILY, Code::IndexSubjectType);
    annotations::check(report, root, Place::Alone);
    if kind.is_docker() {
        foreign(report, root, &["artifactType", "subject", "annotations"]);
    }
}

fn entries(report: &mut Findings, root: &Node<'_>, kind: DocumentKind) {
    let list = root.property(report, FAMILY, ("manifests", Kind::Array, Need::Required));
    let Some(list) = list else {
        return;
    };
    let place = match kind {
        DocumentKind::LayoutIndex => Place::LayoutIndex,
        _ => Place::Index,
    };
    let mut seen = Seen::default();
    for entry in list.items() {
        if !matches!(entry.value, Value::Object(_)) {
            entry.report(report, Code::IndexPropertyType, "an entry must be a descriptor");
            continue;
        }
        descriptor::check(report, &entry, place);
        entry_type(report, &entry, kind);
        seen.check(report, &entry, place);
    }
}

fn entry_type(report: &mut Findings, entry: &Node<'_>, kind: DocumentKind) {
    let has_platform = entry.member("platform").is_some();
    if kind.is_docker() && !has_platform {
        entry.report(report, Code::DockerPlatformMissing, "'platform' is required");
    }
    let Some(node) = entry.member("mediaType") else {
        return;
    };
    let Some(media_type) = node.text().map(MediaType::new).filter(MediaType::is_well_formed) else {
        return;
    };
    if media_type.is_manifest() {
        if !has_platform && !kind.is_docker() {
            entry.report(report, Code::IndexPlatformAbsent, "");
        }
    } else if !media_type.is_index() {
        node.report(report, Code::IndexEntryTypeUnknown, format!("'{media_type}'"));
    }
}

/// What earlier entries were, with the pointer of the first of each.
#[derive(Default)]
struct Seen {
    entries: HashMap<String, String>,
    platforms: HashMap<String, String>,
    names: HashMap<String, String>,
}

impl Seen {
    fn check(&mut self, report: &mut Findings, entry: &Node<'_>, place: Place) {
        let pointer = entry.pointer();
        let mut again =
            |known: &mut HashMap<String, String>, key: String, code: Code| match known.entry(key) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    report.add(code, &pointer, format!("as {}", first.get()));
                    true
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(pointer.clone());
                    false
                }
            };
        let is_copy = again(&mut self.entries, sorted(entry.value), Code::IndexEntryDuplicate);
        if let Some(platform) = entry.member("platform")
            && !is_copy
            && !is_unknown(&platform)
        {
            again(&mut self.platforms, sorted(platform.value), Code::IndexPlatformDuplicate);
        }
        let annotations = entry.member("annotations");
        let name = annotations.as_ref().and_then(|map| map.member(annotation::REF_NAME));
        if let Some(name) = name.and_then(|name| name.text())
            && place == Place::LayoutIndex
        {
            again(&mut self.names, clip(name), Code::IndexRefNameDuplicate);
        }
    }
}

/// Attestations stand in indexes under a platform of this name, one for each image.
fn is_unknown(platform: &Node<'_>) -> bool {
    let is = |name| platform.member(name).and_then(|node| node.text()) == Some("unknown");
    is("os") && is("architecture")
}

/// One text for equal values, whatever the order of their members.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name:?}:{}", sorted(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(sorted).collect();
            format!("[{}]", items.join(","))
        }
        other => format!("{other:?}"),
    }
}
