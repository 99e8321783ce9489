//! `doctor`: what of this machine corten can use, what confines its containers here and what does not, each with what
//! to do. It looks, and changes nothing.

mod confinement;
mod machine;

use std::io::Read as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Context, Failure};

/// Most bytes of a file of the kernel's that are read.
const MAX_FILE: u64 = 1 << 20;

/// What `doctor` found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct DoctorReport {
    /// In the order in which they are looked at.
    pub findings: Vec<Symptom>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Symptom {
    /// What: a word or two.
    pub about: String,
    /// How it stands.
    pub state: Soundness,
    /// Whether it concerns what keeps containers and other users out.
    pub security: bool,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub cure: String,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Soundness {
    /// As it should be.
    Well,
    /// Something is not to be had here; what goes without it is said.
    Lacking,
    /// Something is open that should be closed.
    Wrong,
}

impl Soundness {
    /// The state in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Lacking => "lacking",
            Self::Wrong => "wrong",
        }
    }
}

impl DoctorReport {
    /// Whether nothing is wrong; what is lacking is no fault.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|one| one.state != Soundness::Wrong)
    }
}

/// The findings on their way, all of one subject.
#[derive(Debug)]
pub(super) struct Sheet {
    findings: Vec<Symptom>,
    security: bool,
}

impl Sheet {
    fn new(security: bool) -> Self {
        Self { findings: Vec::new(), security }
    }

    fn put(&mut self, about: &str, state: Soundness, found: impl Into<String>, cure: &str) {
        let (security, about, cure) = (self.security, about.to_owned(), cure.to_owned());
        self.findings.push(Symptom { about, state, security, found: found.into(), cure });
    }

    pub(super) fn well(&mut self, about: &str, found: impl Into<String>) {
        self.put(about, Soundness::Well, found, "");
    }

    pub(super) fn lacking(&mut self, about: &str, found: impl Into<String>, cure: &str) {
        self.put(about, Soundness::Lacking, found, cure);
    }

    pub(super) fn wrong(&mut self, about: &str, found: impl Into<String>, cure: &str) {
        self.put(about, Soundness::Wrong, found, cure);
    }
}

/// Looks at this machine; with `security` only at what keeps containers and other users out.
pub fn doctor(context: &Context, security: bool) -> Result<DoctorReport, Failure> {
    let mut sheet = Sheet::new(true);
    confinement::look(context, &mut sheet);
    let mut findings = sheet.findings;
    if !security {
        let mut sheet = Sheet::new(false);
        machine::look(context, &mut sheet);
        findings.extend(sheet.findings);
    }
    Ok(DoctorReport { findings })
}

/// What a small file of the kernel's says, without the blanks around it; `None` where there is none.
pub(super) fn said(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Whether a program is in one of the directories that corten looks into.
pub(super) fn has_program(context: &Context, name: &str) -> bool {
    context.programs().iter().any(|place| place.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_no_fault_and_what_is_wrong_is_one() {
        let mut sheet = Sheet::new(true);
        sheet.well("a", "b");
        sheet.lacking("c", "d", "e");
        let report = DoctorReport { findings: sheet.findings.clone() };
        assert!(report.is_sound());
        sheet.wrong("f", "g", "h");
        let report = DoctorReport { findings: sheet.findings };
        assert!(!report.is_sound());
        assert_eq!(report.findings[2].state.word(), "wrong");
    }
}
