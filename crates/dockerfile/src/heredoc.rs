//! Here-documents: the words that open them, and their bodies.

use crate::expand::{Expander, Unset, Variables};
use crate::position::Span;

/// A here-document behind a line of RUN, COPY or ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, and the name of the file that COPY and ADD make of it.
    pub name: String,
    /// The file descriptor before the `<<`; 0 where there is none.
    pub descriptor: u32,
    /// Whether variables in the body are replaced: no part of the word was quoted.
    pub expand: bool,
    /// Whether tabs at the beginning of lines are dropped: `<<-`.
    pub strip_tabs: bool,
    /// The lines of the body as they stand, each with its end.
    pub body: String,
    /// Where the body stands, the line that ends it included.
    pub span: Span,
}

impl Heredoc {
    /// The body as it is meant, without leading tabs where they are dropped.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.body.clone();
        }
        self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The here-document that `word` opens: `[digits]<<[-]name`.
pub(crate) fn opened_by(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = word.get(..word.len() - rest.len())?;
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let plain = Expander::new('\\').unset(Unset::Keep);
    let [name] = plain.words(rest, &Nothing).ok()?.try_into().ok()?;
    let [raw]: [String; 1] = plain.raw_quotes().words(rest, &Nothing).ok()?.try_into().ok()?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(&name) == quotes(&raw);
    let descriptor = digits.parse().unwrap_or_default();
    Some(Heredoc { name, descriptor, expand, strip_tabs, ..Heredoc::default() })
}

/// The here-documents that a line opens, in order, without their bodies.
pub(crate) fn opened_on(line: &str) -> Vec<Heredoc> {
    let raw = Expander::new('\\').unset(Unset::Keep).raw_quotes().raw_escapes();
    // A line that does not split into words is a shell's business; it opens none.
    let words = raw.words(line, &Nothing).unwrap_or_default();
    words.iter().filter_map(|word| opened_by(word)).collect()
}

/// No variables at all.
pub(crate) struct Nothing;

impl Variables for Nothing {
    fn value(&self, _name: &str) -> Option<&str> {
        None
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_opens_a_document() {
        let opened = |word| {
            opened_by(word).map(|doc| (doc.name, doc.descriptor, doc.expand, doc.strip_tabs))
        };
        assert_eq!(opened("<<EOF"), Some(("EOF".to_owned(), 0, true, false)));
        assert_eq!(opened("3<<-'EOF'"), Some(("EOF".to_owned(), 3, false, true)));
        assert_eq!(opened("<<E\"O\"F"), Some(("EOF".to_owned(), 0, false, false)));
        assert_eq!(opened("<<$X"), Some(("$X".to_owned(), 0, true, false)));
        for none in ["<EOF", "<<", "<<<EOF", "x<<EOF", "<<'EOF", "<<\"\"", "EOF<<"] {
            assert_eq!(opened(none), None, "{none}");
        }
    }

    #[test]
    fn a_line_opens_several() {
        let names: Vec<String> = opened_on("RUN cat <<A 3<<-B \"<<C\" && << D")
            .into_iter()
            .map(|doc| doc.name)
            .collect();
        assert_eq!(names, ["A", "B", "D"]);
    }

    #[test]
    fn leading_tabs_are_dropped_where_the_word_says_so() {
        let doc =
            Heredoc { strip_tabs: true, body: "\t\ta\tb\n\tc\n".to_owned(), ..Heredoc::default() };
        assert_eq!(doc.text(), "a\tb\nc\n");
    }
}
