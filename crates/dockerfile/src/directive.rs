//! Parser directives: the comments at the top of a file that say how it is read.
//!
//! `# syntax=`, `# escape=` and `# check=` may each stand once, before anything else; the first line
//! that is none of them ends the search, a plain comment included.

use crate::json;
use crate::position::Span;

/// What a directive sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectiveName {
    /// The frontend that reads the file.
    Syntax,
    /// The character that escapes and continues lines.
    Escape,
    /// Which checks run.
    Check,
}

impl DirectiveName {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Escape => "escape",
            Self::Check => "check",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Syntax, Self::Escape, Self::Check];
        all.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What it sets.
    pub name: DirectiveName,
    /// What it is set to.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// What a directive's line cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated(pub(crate) DirectiveName);

/// Reads directives line by line until one is none.
#[derive(Debug, Default)]
pub(crate) struct Search {
    seen: Vec<DirectiveName>,
    is_over: bool,
}

impl Search {
    /// The directive that `line` is. `marker` is what comments begin with.
    pub(crate) fn read(
        &mut self,
        line: &str,
        number: usize,
        marker: &str,
    ) -> Result<Option<Directive>, Repeated> {
        if self.is_over {
            return Ok(None);
        }
        let found = line.strip_prefix(marker).and_then(|rest| split(rest.trim_start()));
        let Some((name, value)) = found else {
            self.is_over = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(Repeated(name));
        }
        self.seen.push(name);
        Ok(Some(Directive { name, value: value.to_owned(), span: Span::line(number, line) }))
    }
}

/// `name = value`, where the name is a known one.
fn split(text: &str) -> Option<(DirectiveName, &str)> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}');
    let (name, value) = text.split_once('=')?;
    let name = DirectiveName::named(name.trim_end_matches(space))?;
    let trimmed = value.trim_matches(space);
    // A value of spaces alone is one space, not none.
    let value = if trimmed.is_empty() { value.get(..1)? } else { trimmed };
    Some((name, value))
}

/// A comment that is a `check=` directive for the instruction below it: its value.
pub(crate) fn check_in_comment(comment: &str) -> Option<&str> {
    let (name, value) = split(comment.trim_start())?;
    (name == DirectiveName::Check).then_some(value)
}

/// The value of the directive `name` at the top of a file, wherever it may stand: after a byte order
/// mark and a `#!` line, too.
pub(crate) fn find(source: &str, name: DirectiveName) -> Option<Directive> {
    let (text, first) = body(source);
    search(text, first, name, "#")
}

/// The frontend a file asks for, as any builder reads it: `# syntax=`, `// syntax=` or a JSON object
/// with the key `syntax`, after a byte order mark and a `#!` line. The value is the first word.
///
/// ```
/// use corten_dockerfile::detect_syntax;
///
/// let found = detect_syntax("#!/usr/bin/env build\n# syntax = docker/dockerfile:1 # why\nFROM a");
/// assert_eq!(found.unwrap().value, "docker/dockerfile:1");
/// assert!(detect_syntax("FROM a").is_none());
/// ```
pub fn detect_syntax(source: &str) -> Option<Directive> {
    let (text, first) = body(source);
    let found = search(text, first, DirectiveName::Syntax, "#")
        .or_else(|| search(text, first, DirectiveName::Syntax, "//"));
    let mut found = found.or_else(|| {
        let value = json::member(text, DirectiveName::Syntax.name())?;
        let span = Span::line(first, text.lines().next().unwrap_or_default());
        Some(Directive { name: DirectiveName::Syntax, value, span })
    })?;
    if let Some((word, _)) = found.value.split_once(' ') {
        found.value = word.to_owned();
    }
    Some(found)
}

/// The text without byte order mark and `#!` line, and the number of its first line.
fn body(source: &str) -> (&str, usize) {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    match text.split_once('\n') {
        Some((line, rest)) if line.starts_with("#!") => (rest, 2),
        _ => (text, 1),
    }
}

fn search(text: &str, first: usize, name: DirectiveName, marker: &str) -> Option<Directive> {
    let mut search = Search::default();
    for (number, line) in text.lines().enumerate() {
        match search.read(line, first + number, marker) {
            Ok(Some(found)) if found.name == name => return Some(found),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_a_comment_at_the_top() {
        let value = |text| find(text, DirectiveName::Check).map(|found| found.value);
        assert_eq!(value("# syntax=a\n#CHECK = skip=all \nFROM a"), Some("skip=all".to_owned()));
        assert_eq!(value("\u{feff}#!/bin/x\n# check=a"), Some("a".to_owned()));
        assert_eq!(value("# a comment\n# check=a"), None);
        assert_eq!(value("\n# check=a"), None);
        assert_eq!(value("# check="), None);
    }

    #[test]
    fn other_languages_name_their_frontend_in_their_comments() {
        let value = |text| detect_syntax(text).map(|found| found.value);
        assert_eq!(value("// syntax=lang:1\nx"), Some("lang:1".to_owned()));
        assert_eq!(value("{\"a\": [1], \"syntax\": \"lang:2\"}"), Some("lang:2".to_owned()));
        assert_eq!(value("{\"syntax\": 2}"), None);
    }
}
