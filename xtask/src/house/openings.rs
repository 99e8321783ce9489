//! Rule: every file opens with `//!`, what it is for in a sentence a newcomer understands.

use super::{Offence, Rule, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let closed = workspace.sources.iter().filter(|source| !is_open(&source.text));
    closed
        .map(|source| Offence {
            path: source.path.clone(),
            line: 1,
            rule: Rule::Opening,
            advice: "open the file with `//!` and a sentence on what it is for".to_owned(),
        })
        .collect()
}

fn is_open(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    first.strip_prefix("//!").is_some_and(|words| words.trim().contains(' '))
}
