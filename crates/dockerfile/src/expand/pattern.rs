//! Patterns within substitutions: `*` and `?`, escapes, and no brackets.

use super::{ExpandError, MAX_PATTERN_STEPS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Many,
    One,
    Exactly(char),
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Many | Self::One => c != '\n',
            Self::Exactly(own) => own == c,
        }
    }
}

/// A pattern that was read.
pub(super) struct Pattern {
    written: String,
    tokens: Vec<Token>,
}

impl Pattern {
    pub(super) fn read(written: &str) -> Result<Self, ExpandError> {
        let mut tokens = Vec::new();
        let mut chars = written.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => match chars.next() {
                    Some(next @ ('*' | '?' | '\\' | '}' | '/')) => Token::Exactly(next),
                    _ => return Err(ExpandError::Pattern { pattern: written.to_owned() }),
                },
                _ => Token::Exactly(c),
            });
        }
        Ok(Self { written: written.to_owned(), tokens })
    }

    /// `value` without the shortest or longest beginning that matches.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut steps = MAX_PATTERN_STEPS;
        let end = self.end_of_match(&chars, longest, &mut steps)?.unwrap_or_default();
        Ok(chars.into_iter().skip(end).collect())
    }

    /// `value` without the shortest or longest end that matches.
    pub(super) fn trim_end(&self, value: &str, longest: bool) -> Result<String, ExpandError> {
        // Backwards, the end is a beginning.
        let chars: Vec<char> = value.chars().rev().collect();
        let tokens = self.tokens.iter().rev().copied().collect();
        let mirrored = Self { written: self.written.clone(), tokens };
        let mut steps = MAX_PATTERN_STEPS;
        let end = mirrored.end_of_match(&chars, longest, &mut steps)?.unwrap_or_default();
        let kept = chars.len() - end;
        Ok(value.chars().take(kept).collect())
    }

    /// `value` with the first match, or all, replaced. A match is as long as it can be.
    pub(super) fn replace(
        &self,
        value: &str,
        replacement: &str,
        all: bool,
    ) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut steps = MAX_PATTERN_STEPS;
        let mut result = String::new();
        let (mut done, mut at) = (0, 0);
        while at <= chars.len() {
            let rest = chars.get(at..).unwrap_or_default();
            let Some(length) = self.end_of_match(rest, true, &mut steps)? else {
                at += 1;
                continue;
            };
            result.extend(chars.get(done..at).unwrap_or_default());
            // An empty match directly behind another one does not count.
            if at + length > done || at == 0 {
                result.push_str(replacement);
            }
            if result.len() > super::MAX_EXPANSION {
                return Err(ExpandError::TooLong);
            }
            done = at + length;
            at = done.max(at + 1);
            if !all {
                break;
            }
        }
        result.extend(chars.get(done..).unwrap_or_default());
        Ok(result)
    }

    /// How many characters from the beginning match, the fewest or the most of them.
    fn end_of_match(
        &self,
        chars: &[char],
        longest: bool,
        steps: &mut usize,
    ) -> Result<Option<usize>, ExpandError> {
        let mut found = None;
        // Which tokens can come next, after each number of characters.
        let mut next = vec![false; self.tokens.len() + 1];
        if let Some(first) = next.first_mut() {
            *first = true;
        }
        for end in 0..=chars.len() {
            self.skip_many(&mut next);
            if next.last() == Some(&true) {
                found = Some(end);
                if !longest {
                    break;
                }
            }
            let Some(c) = chars.get(end) else { break };
            *steps = steps
                .checked_sub(next.len())
                .ok_or_else(|| ExpandError::Costly { pattern: self.written.clone() })?;
            if !self.step(&mut next, *c) {
                break;
            }
        }
        Ok(found)
    }

    /// A `*` may take nothing.
    fn skip_many(&self, next: &mut [bool]) {
        let mut carried = false;
        for (reached, token) in next.iter_mut().zip(&self.tokens) {
            *reached |= carried;
            carried = *reached && *token == Token::Many;
        }
        if let Some(last) = next.last_mut() {
            *last |= carried;
        }
    }

    /// Takes one character; false where nothing can.
    fn step(&self, next: &mut [bool], c: char) -> bool {
        let mut carried = false;
        let mut alive = false;
        for (reached, token) in next.iter_mut().zip(&self.tokens) {
            let was = *reached;
            let takes = was && token.takes(c);
            *reached = carried || (takes && *token == Token::Many);
            carried = takes && *token != Token::Many;
            alive |= *reached;
        }
        if let Some(last) = next.last_mut() {
            *last = carried;
        }
        alive || carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::read(text).unwrap()
    }

    #[test]
    fn the_shortest_or_longest_beginning_or_end_is_trimmed() {
        assert_eq!(pattern("a*b").trim_start("axbxbx", false).unwrap(), "xbx");
        assert_eq!(pattern("a*b").trim_start("axbxbx", true).unwrap(), "x");
        assert_eq!(pattern(".*").trim_end("a.tar.gz", false).unwrap(), "a.tar");
        assert_eq!(pattern(".*").trim_end("a.tar.gz", true).unwrap(), "a");
        assert_eq!(pattern("?x").trim_end("axbx", false).unwrap(), "ax");
        assert_eq!(pattern("z").trim_end("axbx", true).unwrap(), "axbx");
    }

    #[test]
    fn matches_are_replaced_from_the_left() {
        assert_eq!(pattern("l").replace("hello", "L", false).unwrap(), "heLlo");
        assert_eq!(pattern("l").replace("hello", "L", true).unwrap(), "heLLo");
        assert_eq!(pattern("l*").replace("hello", "-", true).unwrap(), "he-");
        assert_eq!(pattern("").replace("ab", "-", true).unwrap(), "-a-b-");
        assert_eq!(pattern("\\*").replace("a*b", "", true).unwrap(), "ab");
    }

    #[test]
    fn an_escape_must_escape() {
        for text in ["\\", "\\x", "a\\\\\\"] {
            assert!(Pattern::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn matching_has_an_end() {
        let costly = pattern(&"*a".repeat(10_000)).replace(&"a".repeat(9_000), "", true);
        assert!(matches!(costly, Err(ExpandError::Costly { .. })));
    }
}
