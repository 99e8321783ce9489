//! The rules of `image-index.md`, platform; the same words stand in `config.md`.

use super::findings::Findings;
use super::grammar::{is_goarch, is_goos};
use super::json::clip;
use super::node::{Family, Need, Node};
use super::table::Code;

const FAMILY: Family =
    Family { missing: Code::PlatformPropertyMissing, mistyped: Code::PlatformPropertyType };

const KNOWN: [&str; 6] = ["architecture", "os", "os.version", "os.features", "variant", "features"];

/// Checks the platform of an index's entry.
pub(super) fn check(report: &mut Findings, node: &Node<'_>) {
    node.near_misses(report, &KNOWN);
    if let Some(features) = node.member("features") {
        features.report(report, Code::PlatformFeaturesReserved, "");
    }
    words(report, node, FAMILY, Need::Optional);
}

/// Checks the five words, which a config holds among its own properties.
pub(super) fn words(report: &mut Findings, node: &Node<'_>, family: Family, optional: Need) {
    let architecture = node.text_property(report, family, ("architecture", Need::Required));
    let os = node.text_property(report, family, ("os", Need::Required));
    node.text_property(report, family, ("os.version", optional));
    let variant = node.text_property(report, family, ("variant", optional));
    let features = node.texts_property(report, family, ("os.features", optional));
    if let Some((node, os)) = &os
        && !is_goos(os)
    {
        node.report(report, Code::PlatformOs, format!("'{}'", clip(os)));
    }
    let Some((node, architecture)) = architecture else {
        return;
    };
    if !is_goarch(architecture) {
        node.report(report, Code::PlatformArchitecture, format!("'{}'", clip(architecture)));
    }
    if let Some((node, variant)) = variant
        && !is_listed(architecture, variant)
    {
        let message = format!("'{}' of {}", clip(variant), clip(architecture));
        node.report(report, Code::PlatformVariant, message);
    }
    if os.is_some_and(|(_, os)| os == "windows") {
        for (pointer, feature) in features.iter().filter(|(_, feature)| feature != "win32k") {
            report.add(Code::PlatformOsFeatures, pointer, format!("'{}'", clip(feature)));
        }
    }
}

/// `image-index.md`, Platform Variants; the table's dots stand for later versions. An empty variant
/// says as much as none.
fn is_listed(architecture: &str, variant: &str) -> bool {
    let numbered = |prefix: &str, least: u32| {
        let number = variant.strip_prefix(prefix).filter(|digits| !digits.starts_with('+'));
        number.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|number| number >= least)
    };
    let profile = || variant.starts_with("rva") && variant.ends_with("u64") && variant.len() == 8;
    match architecture {
        _ if variant.is_empty() => true,
        "arm" => numbered("v", 5) && !numbered("v", 9),
        "arm64" => numbered("v", 8) || numbered("v8.", 0) || numbered("v9.", 0),
        "ppc64le" => numbered("power", 8),
        "riscv64" => profile(),
        "amd64" => numbered("v", 1) && !numbered("v", 5),
        // Not in the table: such values are for each implementation to define.
        _ => true,
    }
}
