//! Checking an image, or a whole layout, against the specification: documents, what they say of
//! each other, blobs against their digests, and the insides of layers.

mod graph;
mod layer;
mod layout;
mod source;
mod style;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use corten_spec::Descriptor;
use corten_spec::validate::{Code, Finding, Level, Profile};
use corten_store::Store;
use schemars::JsonSchema;
use serde::Serialize;

use graph::Checker;
use source::StoreSource;

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// How strictly the specification is read.
    pub profile: Profile,
    /// Whether layers are read.
    pub depth: Depth,
}

/// Whether layers are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Every byte of every blob, and every entry of every layer.
    #[default]
    Whole,
    /// Documents are read; of other blobs it is only asked whether they are there.
    Documents,
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ValidateReport {
    /// Manifests, indexes and configs that were read.
    pub documents: u64,
    /// Layers that were read, each once.
    pub layers: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Number of findings of level `error`.
    pub errors: u64,
    /// Number of findings of level `warning`.
    pub warnings: u64,
    /// Number of findings of level `note`.
    pub notes: u64,
    /// What was found: documents from the root down, then layers and other blobs.
    pub findings: Vec<FindingReport>,
}

/// One finding, with what the table of codes says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingReport {
    /// Stable identifier of the rule.
    pub code: String,
    /// `error`, `warning` or `note`.
    pub level: String,
    /// What was checked: a digest or the name of a file.
    pub object: String,
    /// Where in it: a JSON pointer or the path of an entry; empty for the whole.
    pub pointer: String,
    /// What is wrong here.
    pub message: String,
    /// The document and section that the rule rests on.
    pub section: String,
}

impl From<Finding> for FindingReport {
    fn from(finding: Finding) -> Self {
        let rule = finding.code.rule();
        Self {
            code: rule.id.to_owned(),
            level: level_word(finding.level).to_owned(),
            object: finding.object,
            pointer: finding.pointer,
            message: match finding.message.as_str() {
                "" => rule.explanation.to_owned(),
                detail => format!("{}: {detail}", rule.explanation),
            },
            section: rule.section.to_owned(),
        }
    }
}

impl ValidateReport {
    /// Whether nothing of level `error` was found.
    pub fn is_valid(&self) -> bool {
        self.errors == 0
    }

    /// Adds what was found, counted by level.
    fn take(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            *match finding.level {
                Level::Error => &mut self.errors,
                Level::Warning => &mut self.warnings,
                Level::Note => &mut self.notes,
            } += 1;
            self.findings.push(finding.into());
        }
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

/// Checks the image `root` of `store` and everything below it. What cannot be read is a finding,
/// never a failure. To be called on the runtime whose tasks fetch the bytes.
pub async fn check_image(
    store: Arc<dyn Store>,
    root: Descriptor,
    checks: Checks,
) -> ValidateReport {
    let source = StoreSource::of(store);
    on_thread(move || {
        let place = source.describe();
        let mut checker = Checker::new(&source, checks, Code::BlobMissing);
        checker.root(root, (place, String::new()));
        checker.finish().0
    })
    .await
}

/// Checks the layout in the directory `path`: its files, all blobs, and everything that
/// `index.json` leads to.
pub async fn check_layout(path: &Path, checks: Checks) -> ValidateReport {
    let path = path.to_owned();
    on_thread(move || layout::check(&path, checks)).await
}

/// Reading and hashing is work for a thread of its own.
async fn on_thread(work: impl FnOnce() -> ValidateReport + Send + 'static) -> ValidateReport {
    match tokio::task::spawn_blocking(work).await {
        Ok(report) => report,
        Err(error) => {
            let mut report = ValidateReport::default();
            let mut findings = corten_spec::validate::Findings::new("", Profile::Spec);
            findings.add(Code::BlobUnreadable, "", error.to_string());
            report.take(findings.into_vec());
            report
        }
    }
}

/// The reference of the codes, as a page of the documentation.
pub fn codes() -> String {
    let mut page =
        "<!-- Made by `corten reference`; do not edit. -->\n\n# Findings of validate\n\n\
        With `--profile strict` a warning is an error.\n\n\
        | code | level | meaning | rests on |\n|---|---|---|---|\n"
            .to_owned();
    for code in Code::all() {
        let rule = code.rule();
        let (level, text) = (level_word(rule.level), rule.explanation);
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {level} | {text} | {} |", rule.id, rule.section);
    }
    page
}
