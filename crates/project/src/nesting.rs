//! How deep the expressions of a template go, found before the parser reads them: it goes down one call for each
//! `not`, each branch and each bracket, and a stack that is full ends the process, not the template.

use std::str::Chars;

/// Most operators, brackets and branches that one expression holds within each other.
pub(crate) const MAX_NESTING: usize = 400;

/// Most branches (`elif`) of the conditions that are open at one place.
const MAX_BRANCHES: usize = 400;

/// Words that make an expression one deeper.
const OPERATORS: [&str; 8] = ["not", "and", "or", "if", "else", "in", "is", "elif"];

/// Where a template goes too deep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooDeep {
    /// From 1.
    pub(crate) line: usize,
    /// What there is too much of.
    pub(crate) what: &'static str,
    pub(crate) limit: usize,
}

/// Refuses a text in which one expression is deeper than [`MAX_NESTING`] or a condition has more than
/// [`MAX_BRANCHES`] branches. What no parser would take is passed over.
pub(crate) fn check(text: &str) -> Result<(), TooDeep> {
    let mut scan = Scan { rest: text, whole: text, branches: Vec::new() };
    while let Some((before, _)) = scan.rest.split_once('{') {
        let at = before.len();
        scan.skip(at);
        match scan.rest.get(..2) {
            Some("{{") => scan.expression("}}")?,
            Some("{%") => scan.statement()?,
            Some("{#") => scan.to("#}"),
            _ => scan.skip(1),
        }
    }
    Ok(())
}

struct Scan<'a> {
    rest: &'a str,
    whole: &'a str,
    /// How many branches each open condition has.
    branches: Vec<usize>,
}

impl Scan<'_> {
    /// The places are those of characters that were found.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn to(&mut self, end: &str) {
        let at = self.rest.find(end).map_or(self.rest.len(), |at| at + end.len());
        self.skip(at);
    }

    fn too_deep(&self, what: &'static str, limit: usize) -> TooDeep {
        let read = self.whole.len() - self.rest.len();
        let lines = self.whole.get(..read).unwrap_or_default().matches('\n').count();
        TooDeep { line: lines + 1, what, limit }
    }

    fn statement(&mut self) -> Result<(), TooDeep> {
        let inner = self.rest.get(2..).unwrap_or_default();
        let word = inner.trim_start_matches(['-', '+']).trim_start();
        let end = word.find(|c: char| !is_word(c)).unwrap_or(word.len());
        match word.get(..end) {
            Some("raw") => {
                self.to("%}");
                return self.raw();
            }
            Some("if") => self.branches.push(1),
            Some("elif") => {
                if let Some(last) = self.branches.last_mut() {
                    *last += 1;
                }
            }
            Some("endif") => drop(self.branches.pop()),
            _ => {}
        }
        if self.branches.iter().sum::<usize>() > MAX_BRANCHES {
            return Err(self.too_deep("branches", MAX_BRANCHES));
        }
        self.expression("%}")
    }

    /// Passes over what is text up to `{% endraw %}`.
    #[expect(clippy::unnecessary_wraps, reason = "its caller ends with it")]
    fn raw(&mut self) -> Result<(), TooDeep> {
        while let Some(at) = self.rest.find("{%") {
            self.skip(at + 2);
            if self.rest.trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
                self.to("%}");
                return Ok(());
            }
        }
        self.rest = "";
        Ok(())
    }

    /// Reads to `end`, which does not count within a string.
    fn expression(&mut self, end: &str) -> Result<(), TooDeep> {
        // The operators at each open bracket, the outermost first.
        let mut open: Vec<usize> = vec![0];
        let mut depth = 0_usize;
        self.skip(2);
        loop {
            // A bracket of a map may stand just before the end of the block.
            if open.len() == 1 && self.rest.starts_with(end) {
                self.skip(end.len());
                return Ok(());
            }
            let mut chars = self.rest.chars();
            let Some(first) = chars.next() else { return Ok(()) };
            let mut deeper = 0;
            match first {
                '"' | '\'' => string(&mut chars, first),
                '(' | '[' | '{' => {
                    open.push(0);
                    depth += 1;
                }
                ')' | ']' | '}' => {
                    if open.len() > 1 {
                        depth -= open.pop().unwrap_or(0) + 1;
                    }
                    deeper = 1;
                }
                ',' => {
                    if let Some(last) = open.last_mut() {
                        depth -= std::mem::take(last);
                    }
                }
                c if is_word(c) => {
                    let text = self.rest;
                    let length = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
                    let (word, after) = text.split_at(length);
                    chars = after.chars();
                    deeper = usize::from(OPERATORS.contains(&word));
                }
                c if c.is_whitespace() => {}
                _ => deeper = 1,
            }
            self.rest = chars.as_str();
            if let Some(last) = open.last_mut() {
                *last += deeper;
                depth += deeper;
            }
            if depth > MAX_NESTING {
                return Err(self.too_deep("operators and brackets within each other", MAX_NESTING));
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads to the end of a string whose first quote was read.
fn string(chars: &mut Chars<'_>, quote: char) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(part: &str, times: usize, end: &str) -> String {
        format!("one\n{{{{ {}{end} }}}}", part.repeat(times))
    }

    #[test]
    fn whatever_deepens_an_expression_counts() {
        for (part, end) in [
            ("not ", "1"),
            ("- ", "1"),
            ("-", "1"),
            ("a.", "b"),
            ("x|f|", "f"),
            ("a+", "a"),
            ("a ~ ", "a"),
            ("1 if a else ", "1"),
            ("a and ", "a"),
            ("f(", "1"),
            ("[", ""),
            ("{1:", ""),
            ("'x' ~ ", "1"),
            ("a is not b ", ""),
            ("a[1]", "[1]"),
            ("1, (", "1"),
        ] {
            let error = check(&deep(part, 30_000, end)).unwrap_err();
            assert_eq!((error.line, error.limit), (2, MAX_NESTING), "{part}");
            assert_eq!(check(&deep(part, 20, end)), Ok(()), "{part}");
        }
        let long = (0..30_000).map(|n| format!("'{n} not - ((', ")).collect::<String>();
        assert_eq!(check(&format!("{{{{ [{long}] }}}}{{% set a = {{1: 2}} %}}")), Ok(()));
    }

    #[test]
    fn branches_count_while_their_condition_is_open() {
        let branches = "{% elif a %}x".repeat(30_000);
        let error = check(&format!("{{% if a %}}{branches}{{% endif %}}")).unwrap_err();
        assert_eq!(error.what, "branches");
        let nested = "{%- if a %}".repeat(MAX_BRANCHES + 1);
        assert!(check(&nested).is_err());
        let apart = "{% if a %}{% elif b %}{% else %}{% endif %}".repeat(10_000);
        assert_eq!(check(&apart), Ok(()));
    }

    #[test]
    fn what_is_no_expression_does_not_count() {
        let nots = "not ".repeat(30_000);
        for text in [
            nots.clone(),
            format!("{{# {nots} #}}"),
            format!("{{% raw %}}{{{{ {nots} }}}}{{% endraw %}}"),
            format!("{{%- raw -%}}{{{{ {nots} {{%- endraw %}}"),
            format!("{{{{ '{nots}' }}}}"),
            format!("{{{{ \"\\\"{nots}\" }}}}"),
            format!("{{ {nots} }}"),
            "{".repeat(3),
            "{{".to_owned(),
            "{%".to_owned(),
            "{% raw".to_owned(),
            "{{ } }} ) ] }}".to_owned(),
        ] {
            assert_eq!(check(&text), Ok(()), "{}", text.get(..20).unwrap_or(&text));
        }
        assert!(check(&format!("{{% raw %}}x{{% endraw %}}{{{{ {nots} }}}}")).is_err());
        assert!(check(&format!("{{{{ '}}}}' ~ {nots} }}}}")).is_err());
    }
}
