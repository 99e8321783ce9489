//! Words of a logical line: flags, and words in which quotes keep white space.

use crate::position::{LogicalLine, Word};

/// The white space that parts words. What else Unicode calls a space may stand in one.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The flags from byte `from` on, unquoted, and where what follows them begins.
pub(crate) fn flags(
    line: &LogicalLine,
    from: usize,
    to: usize,
    escape: char,
) -> (Vec<Word>, usize) {
    let mut found = Vec::new();
    let mut at = from;
    loop {
        let text = line.part(at, to);
        at += text.len() - text.trim_start().len();
        let text = line.part(at, to);
        if !text.starts_with("--") {
            return (found, at);
        }
        let (word, length) = unquoted(text, escape);
        let end = at + length;
        if word == "--" {
            return (found, end);
        }
        found.push(Word::new(word, line.span(at, end)));
        at = end;
    }
}

/// The word at the beginning of `text` without its quotes and escapes, and its length in bytes.
fn unquoted(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => {
                // At the very end there is nothing to escape, and the character falls away.
                if let Some((_, next)) = chars.next() {
                    word.push(next);
                }
            }
            _ => word.push(c),
        }
    }
    (word, text.len())
}

/// Words between white space, where quotes and escapes keep it. Both stay in the words.
pub(crate) fn quoted(line: &LogicalLine, from: usize, to: usize, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = line.part(from, to).char_indices();
    while let Some((at, c)) = chars.next() {
        let Some(begun) = start else {
            if !c.is_whitespace() {
                start = Some(at);
                take(c, &mut word, &mut quote, &mut chars, escape);
            }
            continue;
        };
        if quote.is_none() && c.is_whitespace() {
            words.push(Word::new(std::mem::take(&mut word), line.span(from + begun, from + at)));
            start = None;
        } else {
            take(c, &mut word, &mut quote, &mut chars, escape);
        }
    }
    if let Some(begun) = start.filter(|_| !word.is_empty()) {
        words.push(Word::new(word, line.span(from + begun, to)));
    }
    words
}

/// One character of a word, with what it escapes.
fn take(
    c: char,
    word: &mut String,
    quote: &mut Option<char>,
    chars: &mut std::str::CharIndices<'_>,
    escape: char,
) {
    match *quote {
        Some(open) if c == open => *quote = None,
        None if c == '\'' || c == '"' => *quote = Some(c),
        _ => {}
    }
    let escapes = c == escape && *quote != Some('\'');
    if !escapes {
        word.push(c);
    } else if let Some((_, next)) = chars.next() {
        word.push(c);
        word.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn words(text: &str) -> Vec<String> {
        let line = LogicalLine::single(text, Position { line: 1, column: 1 });
        quoted(&line, 0, text.len(), '\\').into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_and_escapes_keep_white_space_and_stay() {
        assert_eq!(words("foo  bar"), ["foo", "bar"]);
        assert_eq!(words("foo\\ bar"), ["foo\\ bar"]);
        assert_eq!(words("a 'abc xyz' \"d \\\" e\""), ["a", "'abc xyz'", "\"d \\\" e\""]);
        assert_eq!(words("föo bàr \"âbc xÿz\""), ["föo", "bàr", "\"âbc xÿz\""]);
        assert_eq!(words("a='b\\' c"), ["a='b\\'", "c"]);
        assert_eq!(words("a \\"), ["a"]);
    }

    #[test]
    fn flags_end_with_the_first_word_that_is_none() {
        let text = "--a=1 --b='x y' --c=\\\"z x --d";
        let line = LogicalLine::single(text, Position { line: 1, column: 1 });
        let (found, after) = flags(&line, 0, text.len(), '\\');
        let found: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(found, ["--a=1", "--b=x y", "--c=\"z"]);
        assert_eq!(line.part(after, text.len()), "x --d");
    }

    #[test]
    fn two_dashes_alone_end_the_flags() {
        let text = "--a -- --b";
        let line = LogicalLine::single(text, Position { line: 1, column: 1 });
        let (found, after) = flags(&line, 0, text.len(), '\\');
        assert_eq!((found.len(), line.part(after, text.len())), (1, " --b"));
    }
}
