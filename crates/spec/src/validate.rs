//! Checking documents against the specification, rule by rule.
//!
//! The checks work on raw bytes with their own reader of JSON, for much of what the specification
//! forbids (duplicate names, an index that is a manifest too) is gone once a document is parsed.
//! Where text and JSON schemas of the specification disagree the text decides; [`Code::rule`]
//! names its section.
//!
//! ```
//! use corten_spec::validate::{self, Code, DocumentKind, Profile};
//!
//! let findings = validate::document(
//!     DocumentKind::LayoutHeader,
//!     "oci-layout",
//!     br#"{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"2.0.0"}"#,
//!     Profile::Spec,
//! );
//! assert_eq!(findings[0].code, Code::JsonDuplicateKey);
//! assert_eq!(findings[0].pointer, "/imageLayoutVersion");
//! ```

mod annotations;
mod code;
mod config;
mod descriptor;
mod findings;
mod grammar;
mod index;
mod json;
mod manifest;
mod node;
mod platform;
mod table;

use serde::{Deserialize, Serialize};

pub use code::Rule;
pub use findings::Findings;
pub use table::Code;

use crate::{ImageConfig, MAX_DOCUMENT, Manifest, MediaType, Platform};
use node::{Family, Need, Node};

/// Size in bytes that registries are asked to take at least (distribution-spec `spec.md`, Pushing
/// Manifests).
const PORTABLE_DOCUMENT: usize = 4 * 1024 * 1024;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A MUST is broken.
    Error,
    /// A SHOULD is broken.
    Warning,
    /// Legal and worth knowing.
    Note,
}

/// How strictly the specification is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A broken MUST is an error, a broken SHOULD a warning.
    #[default]
    Spec,
    /// A broken SHOULD is an error too.
    Strict,
}

/// One breach of one rule, or something worth knowing, at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub code: Code,
    /// How grave the finding is under the profile that was asked for.
    pub level: Level,
    /// What was checked: a digest or the name of a file.
    pub object: String,
    /// Where in it: a JSON pointer, or the path of an entry of a layer; empty for the whole.
    pub pointer: String,
    /// What is wrong here, for people.
    pub message: String,
}

/// What kind of document some bytes are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DocumentKind {
    /// A descriptor on its own.
    Descriptor,
    /// An image manifest.
    Manifest,
    /// An image index.
    Index,
    /// The `index.json` of a layout.
    LayoutIndex,
    /// An image config.
    Config,
    /// The `oci-layout` of a layout.
    LayoutHeader,
    /// A Docker manifest, schema 2.
    DockerManifest,
    /// A Docker manifest list.
    DockerList,
    /// A Docker image config.
    DockerConfig,
}

impl DocumentKind {
    /// The kind that a media type stands for; `None` for content that has no rules here.
    pub fn of(media_type: &MediaType) -> Option<Self> {
        let kinds = [
            (MediaType::OCI_DESCRIPTOR, Self::Descriptor),
            (MediaType::OCI_MANIFEST, Self::Manifest),
            (MediaType::OCI_INDEX, Self::Index),
            (MediaType::OCI_CONFIG, Self::Config),
            (MediaType::OCI_LAYOUT_HEADER, Self::LayoutHeader),
            (MediaType::DOCKER_MANIFEST, Self::DockerManifest),
            (MediaType::DOCKER_LIST, Self::DockerList),
            (MediaType::DOCKER_CONFIG, Self::DockerConfig),
        ];
        kinds.into_iter().find_map(|(known, kind)| (known == *media_type).then_some(kind))
    }

    fn is_docker(self) -> bool {
        matches!(self, Self::DockerManifest | Self::DockerList | Self::DockerConfig)
    }
}

/// Checks one document; `object` names it in the findings. No finding of [`Level::Error`] means
/// that the document keeps the specification as far as it can be told from its bytes alone.
pub fn document(kind: DocumentKind, object: &str, bytes: &[u8], profile: Profile) -> Vec<Finding> {
    let mut report = Findings::new(object, profile);
    if bytes.len() as u64 > MAX_DOCUMENT {
        report.add(Code::JsonSize, "", format!("{} bytes", bytes.len()));
        return report.into_vec();
    }
    if bytes.len() > PORTABLE_DOCUMENT {
        report.add(Code::JsonSizePortable, "", format!("{} bytes", bytes.len()));
    }
    let Some(value) = json::read(&mut report, bytes) else {
        return report.into_vec();
    };
    let root = Node::root(&value);
    if !matches!(value, json::Value::Object(_)) {
        let message = format!("must be an object, not {}", node::kind_of(&value));
        report.add(Code::DocumentType, "", message);
        return report.into_vec();
    }
    match kind {
        DocumentKind::Descriptor => descriptor::check(&mut report, &root, descriptor::Place::Alone),
        DocumentKind::Manifest | DocumentKind::DockerManifest => {
            manifest::check(&mut report, &root, kind);
        }
        DocumentKind::Index | DocumentKind::LayoutIndex | DocumentKind::DockerList => {
            index::check(&mut report, &root, kind);
        }
        DocumentKind::Config | DocumentKind::DockerConfig => {
            config::check(&mut report, &root, kind)
        }
        DocumentKind::LayoutHeader => layout_header(&mut report, &root),
    }
    report.into_vec()
}

/// Why a document is two: one reader takes it for another thing than the next (CVE-2021-41190).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two readers could read two things: {}{}{}", .0.pointer, if .0.pointer.is_empty() { "" } else { ": " }, .0.message)]
pub struct Ambiguous(pub Finding);

/// Refuses a document in which a name stands twice, a name differs from a known one in its case alone, or that is a
/// manifest and an index at once. Documents of other types than those of images have no rules here.
///
/// ```
/// use corten_spec::{MediaType, validate};
///
/// let both = br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#;
/// assert!(validate::unambiguous(&MediaType::OCI_MANIFEST, "sha256:…", both).is_err());
/// ```
pub fn unambiguous(
    media_type: &MediaType,
    object: &str,
    bytes: &[u8],
) -> Result<(), Box<Ambiguous>> {
    let Some(kind) = DocumentKind::of(media_type) else { return Ok(()) };
    const AMBIGUOUS: [Code; 3] =
        [Code::JsonDuplicateKey, Code::JsonKeyCase, Code::DocumentAmbiguous];
    let findings = document(kind, object, bytes, Profile::Spec);
    let first = findings.into_iter().find(|finding| AMBIGUOUS.contains(&finding.code));
    first.map_or(Ok(()), |finding| Err(Box::new(Ambiguous(finding))))
}

/// Checks what a manifest and its config say of each other; `object` names the manifest.
pub fn image(
    manifest: &Manifest,
    config: &ImageConfig,
    object: &str,
    profile: Profile,
) -> Vec<Finding> {
    let mut report = Findings::new(object, profile);
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        let message =
            format!("{layers} layers, but {diff_ids} DiffIDs in {}", manifest.config.digest);
        report.add(Code::ImageLayerCount, "/layers", message);
    }
    report.into_vec()
}

/// Checks the platform that an index gives an entry against the one in the entry's config;
/// `object` names the index, `pointer` the entry.
pub fn entry_platform(
    (object, pointer): (&str, &str),
    listed: &Platform,
    config: &Platform,
    profile: Profile,
) -> Vec<Finding> {
    let mut report = Findings::new(object, profile);
    let (listed, config) = (listed.normalized(), config.normalized());
    if (&listed.os, &listed.architecture) != (&config.os, &config.architecture) {
        report.add(Code::ImagePlatform, pointer, format!("{listed} here, {config} in the config"));
    }
    report.into_vec()
}

/// `image-layout.md`, oci-layout file.
fn layout_header(report: &mut Findings, root: &Node<'_>) {
    const FAMILY: Family = Family {
        missing: Code::LayoutHeaderPropertyMissing,
        mistyped: Code::LayoutHeaderPropertyType,
    };
    root.near_misses(report, &["imageLayoutVersion"]);
    let version = root.text_property(report, FAMILY, ("imageLayoutVersion", Need::Required));
    if let Some((node, version)) = version
        && version != "1.0.0"
    {
        node.report(report, Code::LayoutVersion, format!("'{}'", json::clip(version)));
    }
}
