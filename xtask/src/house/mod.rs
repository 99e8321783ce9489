//! The check that keeps ARCHITECTURE.md true: edges between crates, openings, lengths, names, public
//! paths, error enums, what a library may touch, and the modes of what is kept.
//!
//! Each rule is a file here with one function `check`. All of them see the same [`Workspace`], which
//! is made of texts alone, so that a test plants an offence without touching a disk.

mod edges;
mod effects;
mod errors;
mod lengths;
mod modes;
mod names;
mod openings;
mod paths;
mod twice;
mod workspace;

use std::fmt;
use std::path::PathBuf;

pub use workspace::{HouseError, Workspace, read};
pub(crate) use workspace::{Source, is_for_tests};

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// File, from the root of the workspace.
    pub path: PathBuf,
    /// Line in it, from 1.
    pub line: usize,
    /// Which rule.
    pub rule: Rule,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, advice } = self;
        write!(f, "{}:{line}: {rule}: {advice}", path.display())
    }
}

/// The rules, in the order of ARCHITECTURE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A crate uses only what the tree allows.
    Edge,
    /// Every file opens with what it is for.
    Opening,
    /// Files and functions end.
    Length,
    /// Words that say nothing, and second words for one thing.
    Name,
    /// A public type has one name and one path.
    Twice,
    /// An error enum is one family.
    Errors,
    /// Libraries do not print, ask the clock or the environment, or reach below their level.
    Effect,
    /// What is kept is made with a mode.
    Mode,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edge => "edge",
            Self::Opening => "opening",
            Self::Length => "length",
            Self::Name => "name",
            Self::Twice => "twice",
            Self::Errors => "errors",
            Self::Effect => "effect",
            Self::Mode => "mode",
        })
    }
}

/// Every offence in the workspace, by file and line.
pub fn check(workspace: &Workspace) -> Vec<Offence> {
    let rules = [
        edges::check,
        openings::check,
        lengths::check,
        names::check,
        twice::check,
        errors::check,
        effects::check,
        modes::check,
    ];
    let mut offences: Vec<Offence> = rules.iter().flat_map(|rule| rule(workspace)).collect();
    offences.sort();
    offences.dedup();
    offences
}
