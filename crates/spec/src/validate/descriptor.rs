//! The rules of `descriptor.md`.

use super::annotations;
use super::findings::Findings;
use super::grammar::{is_uri, is_web_uri};
use super::json::{Value, clip};
use super::node::{Family, Kind, Need, Node};
use super::platform;
use super::table::Code;
use crate::{Descriptor, Digest, DigestError, EmbeddedError, MediaType, empty_descriptor};

const FAMILY: Family =
    Family { missing: Code::DescriptorPropertyMissing, mistyped: Code::DescriptorPropertyType };

const KNOWN: [&str; 8] =
    ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];

/// Where a descriptor stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On its own, or in a manifest.
    Alone,
    /// In the list of an index.
    Index,
    /// In the list of `index.json`, where names count.
    LayoutIndex,
}

/// Checks one descriptor.
pub(super) fn check(report: &mut Findings, node: &Node<'_>, place: Place) {
    node.near_misses(report, &KNOWN);
    let media_type = media_type(report, node, FAMILY, "mediaType", Need::Required);
    let digest = digest(report, node);
    let size = size(report, node);
    urls(report, node);
    annotations::check(report, node, place);
    if let Some((node, text)) = node.text_property(report, FAMILY, ("artifactType", Need::Optional))
    {
        well_formed(report, &node, text, Code::DescriptorArtifactTypeGrammar);
    }
    if let Some(node) = node.property(report, FAMILY, ("platform", Kind::Object, Need::Optional)) {
        platform::check(report, &node);
    }
    let data = node.text_property(report, FAMILY, ("data", Need::Optional));
    let (Some(media_type), Some(digest), Some(size)) = (media_type, digest, size) else {
        return;
    };
    if let Some((node, text)) = data {
        let mut descriptor = Descriptor::new(media_type.clone(), digest.clone(), size);
        descriptor.data = Some(text.to_owned());
        embedded(report, &node, &descriptor);
    }
    let empty = empty_descriptor();
    if media_type == empty.media_type && (digest, size) != (empty.digest, empty.size) {
        let message = "the empty type stands for the two bytes {}";
        node.report(report, Code::DescriptorEmptyValue, message);
    }
}

/// The property `name` as a media type that keeps RFC 6838.
pub(super) fn media_type(
    report: &mut Findings,
    node: &Node<'_>,
    family: Family,
    name: &str,
    need: Need,
) -> Option<MediaType> {
    let (node, text) = node.text_property(report, family, (name, need))?;
    well_formed(report, &node, text, Code::DescriptorMediaTypeGrammar)
}

/// The media type `text`, unless it breaks RFC 6838, which is reported as `code`.
pub(super) fn well_formed(
    report: &mut Findings,
    node: &Node<'_>,
    text: &str,
    code: Code,
) -> Option<MediaType> {
    let media_type = MediaType::new(text);
    if media_type.is_well_formed() {
        return Some(media_type);
    }
    node.report(report, code, format!("'{}' is not of the form type/subtype", clip(text)));
    None
}

fn digest(report: &mut Findings, node: &Node<'_>) -> Option<Digest> {
    let (node, text) = node.text_property(report, FAMILY, ("digest", Need::Required))?;
    match Digest::parse(text) {
        Ok(digest) => {
            if digest.algorithm().is_err() {
                let message = format!("'{}' is not registered", digest.algorithm_name());
                node.report(report, Code::DescriptorDigestUnregistered, message);
            } else if digest.algorithm_name() != "sha256" {
                node.report(report, Code::DescriptorDigestAlgorithm, digest.algorithm_name());
            }
            Some(digest)
        }
        Err(error) => {
            let code = match error {
                DigestError::Encoded(..) => Code::DescriptorDigestEncoded,
                _ => Code::DescriptorDigestGrammar,
            };
            node.report(report, code, clip(&error.to_string()));
            None
        }
    }
}

fn size(report: &mut Findings, node: &Node<'_>) -> Option<u64> {
    let node = node.property(report, FAMILY, ("size", Kind::Number, Need::Required))?;
    let Value::Number(text, integer) = node.value else {
        return None;
    };
    match integer {
        Some(integer) if *integer < 0 => {
            node.report(report, Code::DescriptorSizeNegative, text.clone());
            None
        }
        Some(integer) => u64::try_from(*integer).ok(),
        None => {
            node.report(report, Code::DescriptorSizeRange, format!("{} is no int64", clip(text)));
            None
        }
    }
}

fn urls(report: &mut Findings, node: &Node<'_>) {
    for (pointer, url) in node.texts_property(report, FAMILY, ("urls", Need::Optional)) {
        if !is_uri(&url) {
            report.add(Code::DescriptorUrlGrammar, &pointer, format!("'{}'", clip(&url)));
        } else if !is_web_uri(&url) {
            report.add(Code::DescriptorUrlScheme, &pointer, format!("'{}'", clip(&url)));
        }
    }
}

fn embedded(report: &mut Findings, node: &Node<'_>, descriptor: &Descriptor) {
    match descriptor.embedded() {
        Ok(_) | Err(EmbeddedError::Algorithm(_)) => {}
        Err(error @ EmbeddedError::Base64 { .. }) => {
            node.report(report, Code::DescriptorDataGrammar, error.to_string());
        }
        Err(error) => node.report(report, Code::DescriptorDataMismatch, error.to_string()),
    }
}
