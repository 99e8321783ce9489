//! A layout as files: `oci-layout`, `index.json` and the names and contents below `blobs`.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use corten_spec::validate::{self, Code, DocumentKind};
use corten_spec::{Digest, DigestError, Hasher, Index, MAX_DOCUMENT};

use super::graph::Checker;
use super::source::{FileSource, open_regular};
use super::{Checks, Depth, ValidateReport};

const HEADER: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs";
/// corten's own directory, which other tools ignore.
const OURS: &str = ".corten";

/// Most files of `blobs` that are looked at.
const MAX_FILES: usize = 1_000_000;

/// Checks the layout in `root`.
pub(super) fn check(root: &Path, checks: Checks) -> ValidateReport {
    let source = FileSource::of(root);
    let mut checker = Checker::new(&source, checks, Code::LayoutBlobMissing);
    others(&mut checker, root);
    if let Some(bytes) = file(&mut checker, root, HEADER, Code::LayoutHeaderMissing) {
        let kind = DocumentKind::LayoutHeader;
        checker.add(validate::document(kind, HEADER, &bytes, checks.profile));
    }
    if let Some(bytes) = file(&mut checker, root, INDEX, Code::LayoutIndexMissing) {
        let kind = DocumentKind::LayoutIndex;
        checker.add(validate::document(kind, INDEX, &bytes, checks.profile));
        if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
            checker.index(&index, INDEX, 0);
            checker.visit_all();
        }
    }
    let shelf = Shelf::list(&mut checker, root);
    let (mut report, reached) = checker.finish();
    shelf.check(&mut report, &reached.into_iter().collect(), checks);
    report
}

/// Files that the specification does not know.
fn others(checker: &mut Checker<'_>, root: &Path) {
    let known = [HEADER, INDEX, BLOBS, OURS];
    for name in names(root).unwrap_or_default() {
        if !known.contains(&name.as_str()) {
            checker.note(Code::LayoutFileUnknown, &(name, String::new()), "");
        }
    }
}

/// The bytes of a small file that must be there.
fn file(checker: &mut Checker<'_>, root: &Path, name: &str, missing: Code) -> Option<Vec<u8>> {
    let origin = (name.to_owned(), String::new());
    let mut bytes = Vec::new();
    match open_regular(&root.join(name)) {
        Ok(None) => checker.note(missing, &origin, ""),
        Ok(Some(file)) => match file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes) {
            Ok(_) => return Some(bytes),
            Err(error) => checker.note(Code::BlobUnreadable, &origin, error.to_string()),
        },
        Err(error) => checker.note(Code::BlobUnreadable, &origin, error.to_string()),
    }
    None
}

/// Names in a directory, sorted; bytes that are not UTF-8 are replaced.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)?.take(MAX_FILES) {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The blobs that are there, by their names.
struct Shelf<'r> {
    root: &'r Path,
    blobs: Vec<Digest>,
}

impl<'r> Shelf<'r> {
    /// Lists `blobs` and reports names that no digest has and things that are no files.
    fn list(checker: &mut Checker<'_>, root: &'r Path) -> Self {
        let mut shelf = Self { root, blobs: Vec::new() };
        let path = root.join(BLOBS);
        let origin = (BLOBS.to_owned(), String::new());
        // A link would lead to files of somewhere else; every other verb refuses it.
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
            checker.note(Code::LayoutBlobKind, &origin, "it is no directory");
            return shelf;
        }
        let Ok(algorithms) = names(&path) else {
            checker.note(Code::LayoutBlobsMissing, &origin, "");
            return shelf;
        };
        for algorithm in algorithms {
            let object = format!("{BLOBS}/{algorithm}");
            let is_directory =
                fs::symlink_metadata(path.join(&algorithm)).is_ok_and(|m| m.is_dir());
            // Any encoded portion will do to try the grammar of the algorithm's name.
            let legal =
                !matches!(Digest::parse(&format!("{algorithm}:0")), Err(DigestError::Grammar(_)));
            if !legal || !is_directory {
                let code = if legal { Code::LayoutBlobKind } else { Code::LayoutBlobName };
                checker.note(code, &(object, String::new()), "");
                continue;
            }
            for encoded in names(&path.join(&algorithm)).unwrap_or_default() {
                shelf.take(checker, &algorithm, &encoded);
            }
        }
        shelf
    }

    fn take(&mut self, checker: &mut Checker<'_>, algorithm: &str, encoded: &str) {
        let origin = (format!("{BLOBS}/{algorithm}/{encoded}"), String::new());
        let path = self.root.join(BLOBS).join(algorithm).join(encoded);
        let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
        match Digest::parse(&format!("{algorithm}:{encoded}")) {
            Err(error) => checker.note(Code::LayoutBlobName, &origin, error.to_string()),
            Ok(_) if !is_file => checker.note(Code::LayoutBlobKind, &origin, ""),
            Ok(digest) => self.blobs.push(digest),
        }
    }

    /// Checks the content of what nothing led to; what was reached has been read already.
    fn check(&self, report: &mut ValidateReport, reached: &HashSet<Digest>, checks: Checks) {
        for digest in self.blobs.iter().filter(|digest| !reached.contains(digest)) {
            let object = format!("{BLOBS}/{}/{}", digest.algorithm_name(), digest.encoded());
            let mut findings = validate::Findings::new(&object, checks.profile);
            findings.add(Code::LayoutBlobOrphan, "", "");
            if checks.depth == Depth::Whole {
                self.content(&mut findings, report, digest, &object);
            }
            report.take(findings.into_vec());
        }
    }

    fn content(
        &self,
        findings: &mut validate::Findings,
        report: &mut ValidateReport,
        digest: &Digest,
        object: &str,
    ) {
        let Ok(algorithm) = digest.algorithm() else {
            findings.add(Code::BlobUnverifiable, "", digest.algorithm_name());
            return;
        };
        let hashed = open_regular(&self.root.join(object)).and_then(|file| {
            let mut hashing = Hashing(Hasher::new(algorithm));
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            let bytes = io::copy(&mut io::BufReader::with_capacity(BUFFER, file), &mut hashing)?;
            Ok((bytes, hashing.0.finish()))
        });
        match hashed {
            Ok((bytes, actual)) => {
                report.bytes += bytes;
                if actual != *digest {
                    findings.add(Code::LayoutBlobContent, "", format!("it is {actual}"));
                }
            }
            Err(error) => findings.add(Code::BlobUnreadable, "", error.to_string()),
        }
    }
}

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// A sink that hashes.
struct Hashing(Hasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
