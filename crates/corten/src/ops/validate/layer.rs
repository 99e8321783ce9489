//! Blobs: their bytes against their digests, and layers entry by entry.

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use corten_layer::{Audit, Compression, Entry, LayerError, LayerRule, Limits, Problem, audit_each};
use corten_spec::validate::{Code, Finding, Findings, Profile};
use corten_spec::{Descriptor, DiffId, Digest, Hasher};
use corten_store::Kind;

use super::graph::{Origin, code_of, sizes, words};
use super::source::{Bytewise, Source};
use super::style::Style;
use super::{Checks, Depth};
use crate::plain::plain_bytes;

/// A blob, and what is said of it in each place that refers to it.
pub(super) struct Blob {
    pub(super) descriptor: Descriptor,
    pub(super) claims: Vec<Claim>,
}

/// What one place says of a blob.
pub(super) struct Claim {
    pub(super) origin: Origin,
    pub(super) size: u64,
    pub(super) diff_id: Option<DiffId>,
}

/// What came of one blob.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) layers: u64,
    pub(super) bytes: u64,
    pub(super) findings: Vec<Finding>,
}

/// Most threads that read blobs at once.
const MAX_THREADS: usize = 8;

/// Checks all blobs, several at once; the outcomes are in the order of the blobs.
pub(super) fn check_all(
    source: &dyn Source,
    blobs: Vec<Blob>,
    checks: Checks,
    missing: Code,
) -> Vec<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let results: Vec<Mutex<Outcome>> = blobs.iter().map(|_| Mutex::default()).collect();
    let waiting = Mutex::new(blobs.iter().zip(&results));
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((blob, result)) = next else {
                return;
            };
            let outcome = Check { source, checks, missing, blob }.run();
            *result.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(blobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let inner =
        |result: Mutex<Outcome>| result.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(inner).collect()
}

/// One blob on its way through the checks.
struct Check<'a> {
    source: &'a dyn Source,
    checks: Checks,
    missing: Code,
    blob: &'a Blob,
}

impl Check<'_> {
    fn run(&self) -> Outcome {
        if self.checks.depth == Depth::Documents {
            return self.presence();
        }
        let reader = match self.source.open(Kind::Blob, &self.blob.descriptor) {
            Ok(Some(reader)) => reader,
            Ok(None) => return self.absent(),
            Err(error) => return self.outcome(self.everywhere(code_of(&error), &words(&error))),
        };
        let mut measured = Measured::of(&self.blob.descriptor, reader);
        let is_layer = self.blob.descriptor.media_type.is_layer();
        let announced = Compression::of_media_type(&self.blob.descriptor.media_type);
        let mut style = Style::new(&self.blob.descriptor, self.checks.profile);
        let audited = is_layer.then(|| {
            let each = &mut |entry: &Entry| style.see(entry);
            audit_each(&mut measured, announced, Limits::default(), each)
        });
        let end = io::copy(&mut measured, &mut io::sink());
        let (bytes, digest) = (measured.length, measured.hasher.map(Hasher::finish));
        let mut outcome = Outcome { layers: u64::from(is_layer), bytes, findings: Vec::new() };
        let wrong = self.wrong_bytes(end, bytes, digest.as_ref());
        // The insides of a blob that is not the right one say nothing.
        outcome.findings = match (wrong, audited) {
            (Some(wrong), _) => wrong,
            (None, Some(audited)) => self.insides(audited, style),
            (None, None) => Vec::new(),
        };
        if digest.is_none() {
            let algorithm = self.blob.descriptor.digest.algorithm_name();
            outcome.findings.extend(self.everywhere(Code::BlobUnverifiable, algorithm));
        }
        outcome
    }

    fn outcome(&self, findings: Vec<Finding>) -> Outcome {
        Outcome { findings, ..Outcome::default() }
    }

    fn presence(&self) -> Outcome {
        match self.source.exists(Kind::Blob, &self.blob.descriptor) {
            Ok(true) => Outcome::default(),
            Ok(false) => self.absent(),
            Err(error) => self.outcome(self.everywhere(code_of(&error), &words(&error))),
        }
    }

    fn absent(&self) -> Outcome {
        self.outcome(self.everywhere(self.missing, self.blob.descriptor.digest.as_str()))
    }

    /// The same finding in each place that refers to the blob.
    fn everywhere(&self, code: Code, message: &str) -> Vec<Finding> {
        let each = |claim: &Claim| finding(self.checks.profile, &claim.origin, code, message);
        self.blob.claims.iter().flat_map(each).collect()
    }

    /// What is wrong with the bytes themselves.
    fn wrong_bytes(
        &self,
        end: io::Result<u64>,
        length: u64,
        digest: Option<&Digest>,
    ) -> Option<Vec<Finding>> {
        if let Err(error) = end {
            return Some(self.everywhere(Code::BlobUnreadable, &error.to_string()));
        }
        let wrong = |claim: &&Claim| claim.size != length;
        let mut findings = Vec::new();
        for claim in self.blob.claims.iter().filter(wrong) {
            let message = sizes(claim.size, length);
            findings.extend(finding(self.checks.profile, &claim.origin, Code::BlobSize, &message));
        }
        let expected = &self.blob.descriptor.digest;
        if let Some(actual) = digest.filter(|actual| *actual != expected) {
            findings.extend(self.everywhere(Code::BlobDigest, &format!("{expected} is {actual}")));
        }
        (!findings.is_empty()).then_some(findings)
    }

    fn insides(&self, audited: Result<Audit, LayerError>, style: Style) -> Vec<Finding> {
        let audited = match audited {
            Ok(audited) => audited,
            Err(error) => return self.everywhere(Code::BlobUnreadable, &words(&error)),
        };
        let mut report = Findings::new(self.blob.descriptor.digest.as_str(), self.checks.profile);
        for Problem { place, rule } in &audited.problems {
            report.add(code_of_rule(*rule), &plain_bytes(&place.name), format!("{place}: {rule}"));
        }
        let mut findings = report.into_vec();
        findings.extend(style.finish());
        let Some(unpacked) = audited.unpacked else {
            return findings;
        };
        for claim in &self.blob.claims {
            let Some(expected) = &claim.diff_id else {
                continue;
            };
            if expected.0.algorithm_name() != unpacked.diff_id.0.algorithm_name() {
                let message = format!("DiffID {expected}");
                let code = Code::BlobUnverifiable;
                findings.extend(finding(self.checks.profile, &claim.origin, code, &message));
            } else if *expected != unpacked.diff_id {
                let message = format!("{} in the config, {} here", expected, unpacked.diff_id);
                let code = Code::LayerDiffId;
                findings.extend(finding(self.checks.profile, &claim.origin, code, &message));
            }
        }
        findings
    }
}

fn finding(profile: Profile, origin: &Origin, code: Code, message: &str) -> Vec<Finding> {
    let mut report = Findings::new(&origin.0, profile);
    report.add(code, &origin.1, message);
    report.into_vec()
}

/// A blob whose bytes are counted and hashed as they are read; reading ends one byte behind the
/// size that its descriptor announces.
struct Measured {
    reader: io::Take<Bytewise>,
    hasher: Option<Hasher>,
    length: u64,
}

impl Measured {
    fn of(descriptor: &Descriptor, reader: Bytewise) -> Self {
        Self {
            reader: reader.take(descriptor.size.saturating_add(1)),
            hasher: descriptor.digest.algorithm().ok().map(Hasher::new),
            length: 0,
        }
    }
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.reader.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..taken).unwrap_or_default());
        }
        self.length += taken as u64;
        Ok(taken)
    }
}

/// The code under which a broken rule of layers is reported.
fn code_of_rule(rule: LayerRule) -> Code {
    match rule {
        LayerRule::CompressionMismatch => Code::LayerCompression,
        LayerRule::CompressedStream => Code::LayerStream,
        LayerRule::MissingEnd => Code::LayerTarEnd,
        LayerRule::TrailingGarbage => Code::LayerTarTrailing,
        LayerRule::LimitExceeded => Code::LayerLimit,
        LayerRule::DuplicatePath => Code::LayerPathDuplicate,
        LayerRule::AbsolutePath => Code::LayerPathAbsolute,
        LayerRule::ParentPath => Code::LayerPathParent,
        LayerRule::BelowNonDirectory => Code::LayerPathBlocked,
        LayerRule::RootNotDirectory => Code::LayerPathRoot,
        LayerRule::BareWhiteout => Code::LayerWhiteoutBare,
        LayerRule::WhiteoutOfDot => Code::LayerWhiteoutTarget,
        LayerRule::WhiteoutNotEmpty => Code::LayerWhiteoutContent,
        LayerRule::WhiteoutNotRegular => Code::LayerWhiteoutKind,
        LayerRule::ReservedWhiteout => Code::LayerWhiteoutReserved,
        LayerRule::HardlinkTarget => Code::LayerHardlinkMissing,
        LayerRule::HardlinkToDirectory => Code::LayerHardlinkDirectory,
        LayerRule::SparseEntry => Code::LayerSparse,
        LayerRule::UnknownType => Code::LayerEntryKind,
        LayerRule::OverlayXattr => Code::LayerOverlayXattr,
        // Everything else makes the archive one on which readers differ.
        _ => Code::LayerTar,
    }
}
