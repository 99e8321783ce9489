//! Findings as they are collected for one object.

use std::collections::HashMap;

use super::table::Code;
use super::{Finding, Profile};

/// Most findings of one code that are kept for one object: a hostile document must not fill the
/// memory, and the verdict stays the same.
const MAX_OF_A_CODE: usize = 100;

/// Collects the findings of one object.
#[derive(Debug)]
pub struct Findings {
    object: String,
    profile: Profile,
    findings: Vec<Finding>,
    counts: HashMap<Code, usize>,
}

impl Findings {
    /// Starts with nothing found in `object`, a digest or the name of a file.
    pub fn new(object: impl Into<String>, profile: Profile) -> Self {
        Self { object: object.into(), profile, findings: Vec::new(), counts: HashMap::new() }
    }

    /// Adds a finding at `pointer`, unless there are 100 of its code already.
    pub fn add(&mut self, code: Code, pointer: &str, message: impl Into<String>) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count > MAX_OF_A_CODE {
            return;
        }
        let mut message = message.into();
        if *count == MAX_OF_A_CODE {
            message.push_str(" (more of this kind are not listed)");
        }
        self.findings.push(Finding {
            code,
            level: code.level(self.profile),
            object: self.object.clone(),
            pointer: pointer.to_owned(),
            message,
        });
    }

    /// What was found, in the order of the document.
    pub fn into_vec(self) -> Vec<Finding> {
        self.findings
    }
}
