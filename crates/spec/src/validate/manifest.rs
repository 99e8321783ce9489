//! The rules of `manifest.md`, and of the Docker manifest beside it.

use std::collections::HashSet;

use super::descriptor::{self, Place};
use super::findings::Findings;
use super::json::{Value, clip};
use super::node::{Family, Kind, Need, Node};
use super::table::Code;
use super::{DocumentKind, annotations};
use crate::MediaType;

const FAMILY: Family =
    Family { missing: Code::ManifestPropertyMissing, mistyped: Code::ManifestPropertyType };

const KNOWN: [&str; 7] =
    ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];

/// Checks a manifest.
pub(super) fn check(report: &mut Findings, root: &Node<'_>, kind: DocumentKind) {
    root.near_misses(report, &KNOWN);
    if let Some(node) = root.member("manifests") {
        node.report(report, Code::DocumentAmbiguous, "a manifest has no 'manifests'");
    }
    schema_version(report, root, FAMILY, Code::ManifestSchemaVersion);
    let codes = (Code::ManifestMediaTypeAbsent, Code::ManifestMediaTypeValue);
    let own = match kind {
        DocumentKind::DockerManifest => MediaType::DOCKER_MANIFEST,
        _ => MediaType::OCI_MANIFEST,
    };
    own_media_type(report, root, FAMILY, (&own, codes));
    let config = config(report, root);
    artifact_type(report, root, config.as_ref());
    layers(report, root, config.as_ref());
    subject(report, root, FAMILY, Code::ManifestSubjectType);
    annotations::check(report, root, Place::Alone);
    if kind.is_docker() {
        foreign(report, root, &["artifactType", "subject", "annotations"]);
    }
}

/// `schemaVersion` is 2, in manifests and in indexes.
pub(super) fn schema_version(report: &mut Findings, root: &Node<'_>, family: Family, code: Code) {
    let node = root.property(report, family, ("schemaVersion", Kind::Number, Need::Required));
    if let Some(node) = node
        && let Value::Number(text, integer) = node.value
        && *integer != Some(2)
    {
        node.report(report, code, format!("{} is not 2", clip(text)));
    }
}

/// The document's own `mediaType`, where it stands, is exactly `expected`.
pub(super) fn own_media_type(
    report: &mut Findings,
    root: &Node<'_>,
    family: Family,
    (expected, (absent, other)): (&MediaType, (Code, Code)),
) {
    if root.member("mediaType").is_none() {
        let is_docker = expected.as_str().starts_with("application/vnd.docker.");
        let code = if is_docker { Code::DockerMediaTypeAbsent } else { absent };
        root.report(report, code, format!("it should read {expected}"));
    }
    let own = root.text_property(report, family, ("mediaType", Need::Optional));
    if let Some((node, text)) = own
        && text != expected.as_str()
    {
        node.report(report, other, format!("'{}' is not {expected}", clip(text)));
    }
}

/// Docker's documents do not know `names`.
pub(super) fn foreign(report: &mut Findings, root: &Node<'_>, names: &[&str]) {
    for name in names {
        if let Some(node) = root.member(name) {
            node.report(report, Code::DockerPropertyForeign, format!("'{name}'"));
        }
    }
}

fn config(report: &mut Findings, root: &Node<'_>) -> Option<MediaType> {
    let config = root.property(report, FAMILY, ("config", Kind::Object, Need::Required))?;
    descriptor::check(report, &config, Place::Alone);
    let node = config.member("mediaType")?;
    let media_type = MediaType::new(node.text()?);
    let known = media_type.is_config() || media_type == MediaType::OCI_EMPTY;
    if !known && media_type.is_well_formed() {
        node.report(report, Code::ManifestConfigTypeUnknown, format!("'{media_type}'"));
    }
    Some(media_type)
}

fn artifact_type(report: &mut Findings, root: &Node<'_>, config: Option<&MediaType>) {
    if root.member("artifactType").is_none() && config == Some(&MediaType::OCI_EMPTY) {
        let message = "artifactType is required where the config is empty";
        root.report(report, Code::ManifestArtifactTypeMissing, message);
    }
    let own = root.text_property(report, FAMILY, ("artifactType", Need::Optional));
    if let Some((node, text)) = own {
        descriptor::well_formed(report, &node, text, Code::ManifestArtifactTypeGrammar);
    }
}

/// The text asks for a layer and does not require `layers`; the schema requires both.
fn layers(report: &mut Findings, root: &Node<'_>, config: Option<&MediaType>) {
    let list = root.property(report, FAMILY, ("layers", Kind::Array, Need::Optional));
    let Some(list) = list else {
        if root.member("layers").is_none() {
            root.report(report, Code::ManifestLayersEmpty, "'layers' is absent");
        }
        return;
    };
    if list.items().next().is_none() {
        list.report(report, Code::ManifestLayersEmpty, "'layers' is empty");
    }
    let is_image = config.is_some_and(MediaType::is_config);
    let mut seen = HashSet::new();
    for layer in list.items() {
        if !matches!(layer.value, Value::Object(_)) {
            layer.report(report, Code::ManifestPropertyType, "a layer must be a descriptor");
            continue;
        }
        descriptor::check(report, &layer, Place::Alone);
        if is_image {
            layer_type(report, &layer, config);
        }
        if let Some(digest) = layer.member("digest").and_then(|node| node.text())
            && is_image
            && !seen.insert(digest.to_owned())
        {
            layer.report(report, Code::ManifestLayerDuplicate, format!("'{}'", clip(digest)));
        }
    }
}

fn layer_type(report: &mut Findings, layer: &Node<'_>, config: Option<&MediaType>) {
    let Some(node) = layer.member("mediaType") else {
        return;
    };
    let Some(media_type) = node.text().map(MediaType::new).filter(MediaType::is_well_formed) else {
        return;
    };
    let vendor =
        |media_type: &MediaType| media_type.as_str().starts_with("application/vnd.docker.");
    if media_type.is_non_distributable() {
        node.report(report, Code::ManifestLayerNonDistributable, format!("'{media_type}'"));
    } else if !media_type.is_layer() {
        node.report(report, Code::ManifestLayerTypeUnknown, format!("'{media_type}'"));
    } else if config.is_some_and(|config| vendor(config) != vendor(&media_type)) {
        node.report(report, Code::ManifestTypesMixed, format!("'{media_type}'"));
    }
}

/// The subject of a manifest or an index is a manifest or an index.
pub(super) fn subject(report: &mut Findings, root: &Node<'_>, family: Family, code: Code) {
    let subject = root.property(report, family, ("subject", Kind::Object, Need::Optional));
    let Some(subject) = subject else {
        return;
    };
    descriptor::check(report, &subject, Place::Alone);
    let Some(node) = subject.member("mediaType") else {
        return;
    };
    let other = node.text().map(MediaType::new).filter(|t| !t.is_manifest() && !t.is_index());
    if let Some(media_type) = other.filter(MediaType::is_well_formed) {
        node.report(report, code, format!("'{media_type}'"));
    }
}
