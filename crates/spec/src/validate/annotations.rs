//! The rules of `annotations.md`.

use super::descriptor::Place;
use super::findings::Findings;
use super::grammar::{is_date_time, is_licence_expression, is_reverse_domain, is_uri};
use super::json::{Value, clip};
use super::node::{Node, kind_of};
use super::table::Code;
use crate::{Digest, RefName, Reference, annotation};

/// Checks the property `annotations` of a descriptor, a manifest or an index.
pub(super) fn check(report: &mut Findings, owner: &Node<'_>, place: Place) {
    if let Some(node) = owner.member("annotations") {
        map(report, &node, Some(place));
    }
}

/// Checks the property `Labels` of a config, which keeps the same rules; names of layouts have no
/// place there.
pub(super) fn labels(report: &mut Findings, owner: &Node<'_>) {
    if let Some(node) = owner.member("Labels").filter(|node| *node.value != Value::Null) {
        map(report, &node, None);
    }
}

fn map(report: &mut Findings, node: &Node<'_>, place: Option<Place>) {
    if !matches!(node.value, Value::Object(_)) {
        let message = format!("must be an object, not {}", kind_of(node.value));
        node.report(report, Code::AnnotationsType, message);
        return;
    }
    for (key, node) in node.children() {
        // Labels are by tradition short words; only their reserved keys are looked at.
        self::key(report, &node, key, place.is_some());
        match node.text() {
            Some(text) => value(report, &node, (key, text), place),
            None => {
                let message = format!("must be a string, not {}", kind_of(node.value));
                node.report(report, Code::AnnotationsType, message);
            }
        }
    }
}

fn key(report: &mut Findings, node: &Node<'_>, key: &str, is_annotation: bool) {
    if key.is_empty() {
        node.report(report, Code::AnnotationKeyEmpty, "");
    } else if key.starts_with(annotation::IMAGE) {
        let known = annotation::PREDEFINED.contains(&key) || annotation::CONVERTED.contains(&key);
        if !known {
            node.report(report, Code::AnnotationKeyReserved, format!("'{}'", clip(key)));
        }
    } else if key == annotation::RESERVED || key.starts_with("org.opencontainers.") {
        node.report(report, Code::AnnotationKeyForeign, format!("'{}'", clip(key)));
    } else if is_annotation && !is_reverse_domain(key) {
        node.report(report, Code::AnnotationKeyNotation, format!("'{}'", clip(key)));
    }
}

fn value(report: &mut Findings, node: &Node<'_>, (key, text): (&str, &str), place: Option<Place>) {
    // An empty value is legal for every key.
    if text.is_empty() && key != annotation::REF_NAME {
        return;
    }
    let broken = match key {
        annotation::CREATED => (!is_date_time(text)).then_some(Code::AnnotationCreated),
        annotation::URL | annotation::DOCUMENTATION | annotation::SOURCE => {
            (!is_uri(text)).then_some(Code::AnnotationUrl)
        }
        annotation::LICENSES => (!is_licence_expression(text)).then_some(Code::AnnotationLicenses),
        annotation::BASE_DIGEST => {
            Digest::parse(text).is_err().then_some(Code::AnnotationBaseDigest)
        }
        annotation::BASE_NAME => (!is_full_reference(text)).then_some(Code::AnnotationBaseName),
        annotation::REF_NAME if place != Some(Place::LayoutIndex) => {
            Some(Code::AnnotationRefNamePlace)
        }
        annotation::REF_NAME => (!RefName::parse(text).is_ok_and(|name| name.is_well_formed()))
            .then_some(Code::AnnotationRefName),
        _ => None,
    };
    if let Some(code) = broken {
        node.report(report, code, format!("'{}'", clip(text)));
    }
}

/// A reference that needs no default host.
fn is_full_reference(text: &str) -> bool {
    Reference::parse(text).is_ok_and(|reference| {
        text.strip_prefix(reference.name.host()).is_some_and(|rest| rest.starts_with('/'))
    })
}
