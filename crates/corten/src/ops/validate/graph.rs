//! The documents below a root, one after the other, and the list of the blobs they need.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read as _;

use corten_spec::validate::{self, Code, DocumentKind, Finding, Findings};
use corten_spec::{
    Descriptor, DiffId, Digest, ImageConfig, Index, MAX_DOCUMENT, Manifest, MediaType, Mismatch,
    Platform,
};
use corten_store::{Kind, MAX_DEPTH, MAX_DOCUMENTS, StoreError};

use super::layer::{self, Blob, Claim};
use super::source::Source;
use super::{Checks, ValidateReport};

/// An object and a place in it: where a descriptor stands.
pub(super) type Origin = (String, String);

/// A document to be visited.
struct Visit {
    descriptor: Descriptor,
    origin: Origin,
    depth: usize,
    strength: Strength,
}

/// Whether the document has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Needed,
    /// A subject: it may be anywhere.
    Weak,
}

/// Visits documents and collects what it finds.
pub(super) struct Checker<'s> {
    source: &'s dyn Source,
    checks: Checks,
    /// What an absent blob is called in this place.
    missing: Code,
    report: ValidateReport,
    findings: Vec<Finding>,
    queue: VecDeque<Visit>,
    /// Size of every document met, by its digest; `None` where it could not be read.
    seen: HashMap<Digest, Option<u64>>,
    blobs: BTreeMap<Digest, Blob>,
}

impl<'s> Checker<'s> {
    pub(super) fn new(source: &'s dyn Source, checks: Checks, missing: Code) -> Self {
        Self {
            source,
            checks,
            missing,
            report: ValidateReport::default(),
            findings: Vec::new(),
            queue: VecDeque::new(),
            seen: HashMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// Adds what was found elsewhere.
    pub(super) fn add(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// Adds one finding.
    pub(super) fn note(&mut self, code: Code, origin: &Origin, message: impl Into<String>) {
        let mut report = Findings::new(&origin.0, self.checks.profile);
        report.add(code, &origin.1, message);
        self.add(report.into_vec());
    }

    /// Visits `descriptor` and everything below it.
    pub(super) fn root(&mut self, descriptor: Descriptor, origin: Origin) {
        self.queue.push_back(Visit { descriptor, origin, depth: 1, strength: Strength::Needed });
        self.visit_all();
    }

    /// Visits all that waits to be visited.
    pub(super) fn visit_all(&mut self) {
        while let Some(visit) = self.queue.pop_front() {
            self.visit(visit);
        }
    }

    /// Checks the blobs that were met, and tells which digests those were, documents included.
    pub(super) fn finish(mut self) -> (ValidateReport, Vec<Digest>) {
        let mut reached: Vec<Digest> = self.seen.into_keys().collect();
        reached.extend(self.blobs.keys().cloned());
        self.report.take(std::mem::take(&mut self.findings));
        let blobs: Vec<Blob> = self.blobs.into_values().collect();
        for outcome in layer::check_all(self.source, blobs, self.checks, self.missing) {
            self.report.layers += outcome.layers;
            self.report.bytes += outcome.bytes;
            self.report.take(outcome.findings);
        }
        (self.report, reached)
    }

    fn visit(&mut self, visit: Visit) {
        let Visit { descriptor, origin, depth, strength } = visit;
        if let Some(size) = self.seen.get(&descriptor.digest) {
            if let Some(size) = *size
                && size != descriptor.size
            {
                self.note(Code::BlobSize, &origin, sizes(descriptor.size, size));
            }
            return;
        }
        if depth > MAX_DEPTH || self.seen.len() >= MAX_DOCUMENTS {
            let message = format!("at most {MAX_DEPTH} levels and {MAX_DOCUMENTS} documents");
            self.note(Code::GraphLimit, &origin, message);
            return;
        }
        self.seen.insert(descriptor.digest.clone(), None);
        let Some(bytes) = self.read(Kind::Manifest, &descriptor, &origin, strength) else {
            return;
        };
        self.seen.insert(descriptor.digest.clone(), Some(bytes.len() as u64));
        let object = descriptor.digest.to_string();
        if let Some(kind) = DocumentKind::of(&descriptor.media_type) {
            self.add(validate::document(kind, &object, &bytes, self.checks.profile));
        }
        if descriptor.media_type.is_index() {
            if let Some(index) = self.parsed::<Index>(&object, &bytes) {
                self.index(&index, &object, depth);
            }
        } else if descriptor.media_type.is_manifest()
            && let Some(manifest) = self.parsed::<Manifest>(&object, &bytes)
        {
            self.manifest(&manifest, (&object, depth), (&origin, descriptor.platform.as_ref()));
        }
    }

    /// Visits what an index lists; `object` is its digest or name.
    pub(super) fn index(&mut self, index: &Index, object: &str, depth: usize) {
        for (place, entry) in index.manifests.iter().enumerate() {
            let origin = (object.to_owned(), format!("/manifests/{place}"));
            if is_blob(entry) {
                self.blob(entry, origin, None);
                continue;
            }
            let (descriptor, depth) = (entry.clone(), depth + 1);
            self.queue.push_back(Visit { descriptor, origin, depth, strength: Strength::Needed });
        }
        self.subject(index.subject.as_ref(), object, depth);
    }

    fn subject(&mut self, subject: Option<&Descriptor>, object: &str, depth: usize) {
        if let Some(descriptor) = subject.cloned() {
            let origin = (object.to_owned(), "/subject".to_owned());
            let depth = depth + 1;
            self.queue.push_back(Visit { descriptor, origin, depth, strength: Strength::Weak });
        }
    }

    fn manifest(
        &mut self,
        manifest: &Manifest,
        (object, depth): (&str, usize),
        (entry, platform): (&Origin, Option<&Platform>),
    ) {
        let at = (object.to_owned(), "/config".to_owned());
        let config = self.config(&manifest.config, at);
        if let Some(config) = &config {
            self.add(validate::image(manifest, config, object, self.checks.profile));
            if let Some(listed) = platform {
                let pointer = format!("{}/platform", entry.1);
                let place = (entry.0.as_str(), pointer.as_str());
                let profile = self.checks.profile;
                self.add(validate::entry_platform(place, listed, &config.platform, profile));
            }
        }
        let diff_ids = config.map(|config| config.rootfs.diff_ids).unwrap_or_default();
        for (place, layer) in manifest.layers.iter().enumerate() {
            let origin = (object.to_owned(), format!("/layers/{place}"));
            // Where the counts differ nobody knows which DiffID belongs to which layer.
            let known = diff_ids.len() == manifest.layers.len();
            let diff_id = diff_ids.get(place).filter(|_| known);
            self.blob(layer, origin, diff_id);
        }
        self.subject(manifest.subject.as_ref(), object, depth);
    }

    /// Reads and checks an image's config; `None` where it is none or cannot be read.
    fn config(&mut self, descriptor: &Descriptor, origin: Origin) -> Option<ImageConfig> {
        let Some(kind) =
            DocumentKind::of(&descriptor.media_type).filter(|_| descriptor.media_type.is_config())
        else {
            self.blob(descriptor, origin, None);
            return None;
        };
        let bytes = self.read(Kind::Blob, descriptor, &origin, Strength::Needed);
        let met =
            self.seen.insert(descriptor.digest.clone(), bytes.as_ref().map(|b| b.len() as u64));
        let (bytes, object) = (bytes?, descriptor.digest.to_string());
        if met.is_none() {
            self.add(validate::document(kind, &object, &bytes, self.checks.profile));
        }
        self.parsed(&object, &bytes)
    }

    /// Puts a blob on the list, each digest once, with all that is claimed of it.
    fn blob(&mut self, descriptor: &Descriptor, origin: Origin, diff_id: Option<&DiffId>) {
        let claim = Claim { origin, size: descriptor.size, diff_id: diff_id.cloned() };
        let blob = self
            .blobs
            .entry(descriptor.digest.clone())
            .or_insert_with(|| Blob { descriptor: descriptor.clone(), claims: Vec::new() });
        if blob.claims.len() < MAX_CLAIMS {
            blob.claims.push(claim);
        }
    }

    /// The document, parsed. Where that fails the checks on the bytes have said why, or it is said
    /// here.
    fn parsed<T: serde::de::DeserializeOwned>(&mut self, object: &str, bytes: &[u8]) -> Option<T> {
        match serde_json::from_slice(bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                let said = |finding: &Finding| {
                    finding.object == object && finding.level == validate::Level::Error
                };
                if !self.findings.iter().any(said) {
                    let origin = (object.to_owned(), String::new());
                    self.note(Code::BlobUnreadable, &origin, error.to_string());
                }
                None
            }
        }
    }

    /// The bytes of a document, where they are what the descriptor says.
    fn read(
        &mut self,
        kind: Kind,
        descriptor: &Descriptor,
        origin: &Origin,
        strength: Strength,
    ) -> Option<Vec<u8>> {
        if descriptor.size > MAX_DOCUMENT {
            self.note(Code::JsonSize, origin, format!("{} bytes announced", descriptor.size));
            return None;
        }
        let reader = match self.source.open(kind, descriptor) {
            Ok(Some(reader)) => reader,
            Ok(None) => {
                if strength == Strength::Needed {
                    self.note(self.missing, origin, descriptor.digest.to_string());
                }
                return None;
            }
            Err(error) => {
                self.note(code_of(&error), origin, words(&error));
                return None;
            }
        };
        let mut bytes = Vec::new();
        if let Err(error) = reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes) {
            self.note(Code::BlobUnreadable, origin, error.to_string());
            return None;
        }
        self.report.documents += 1;
        self.report.bytes += bytes.len() as u64;
        let size = bytes.len() as u64;
        if size != descriptor.size {
            self.note(Code::BlobSize, origin, sizes(descriptor.size, size));
            return None;
        }
        match descriptor.digest.algorithm() {
            Ok(algorithm) => {
                let actual = Digest::of(algorithm, &bytes);
                if actual != descriptor.digest {
                    let message = format!("{} is {actual}", descriptor.digest);
                    self.note(Code::BlobDigest, origin, message);
                    return None;
                }
            }
            Err(error) => self.note(Code::BlobUnverifiable, origin, error.to_string()),
        }
        Some(bytes)
    }
}

/// Most places that are remembered for one blob.
const MAX_CLAIMS: usize = 100;

/// What an index lists and is not addressed as a manifest.
fn is_blob(entry: &Descriptor) -> bool {
    let media_type = &entry.media_type;
    let document = media_type.is_manifest() || media_type.is_index();
    !document
        && (media_type.is_layer()
            || media_type.is_config()
            || *media_type == MediaType::OCI_EMPTY
            || entry.size > MAX_DOCUMENT)
}

pub(super) fn sizes(announced: u64, actual: u64) -> String {
    format!("{actual} bytes, not {announced}")
}

/// The code for what a store says of a blob.
pub(super) fn code_of(error: &StoreError) -> Code {
    let StoreError::Corrupt { source, .. } = error else {
        return Code::BlobUnreadable;
    };
    match source.downcast_ref::<Mismatch>() {
        Some(Mismatch::Digest { .. }) => Code::BlobDigest,
        Some(_) => Code::BlobSize,
        None => Code::BlobUnreadable,
    }
}

/// The error and its causes in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
