//! The walk over a word that replaces its variables.

use std::collections::BTreeSet;

use super::pattern::Pattern;
use super::{ExpandError, Expander, MAX_EXPANSION, MAX_NESTING, Unset, Variables};

/// What a stretch of text has become, whole and in words.
#[derive(Default)]
pub(super) struct Output {
    pub(super) text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// A character that parts words where it is white space.
    fn push(&mut self, c: char) {
        self.text.push(c);
        self.part(c);
    }

    fn part(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
        text.chars().for_each(|c| self.part(c));
    }

    /// Text whose white space is its own.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn push_escaped(&mut self, c: char) {
        self.text.push(c);
        self.word.push(c);
    }

    pub(super) fn into_words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

pub(super) struct Lexer<'a> {
    how: Expander,
    source: &'a str,
    rest: &'a str,
    variables: &'a dyn Variables,
    depth: usize,
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(how: Expander, source: &'a str, variables: &'a dyn Variables) -> Self {
        Self {
            how,
            source,
            rest: source,
            variables,
            depth: 0,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        }
    }

    pub(super) fn run(&mut self) -> Result<Output, ExpandError> {
        self.until(None)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn open(&self, close: char) -> ExpandError {
        ExpandError::OpenSubstitution { close, word: self.source.to_owned() }
    }

    /// All text up to `stop`, which is taken too, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<Output, ExpandError> {
        let mut output = Output::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok(output);
            }
            match c {
                '$' => output.push_str(&self.dollar()?),
                '\'' if self.how.reads_quotes => output.push_quoted(&self.single()?),
                '"' if self.how.reads_quotes => output.push_quoted(&self.double()?),
                '<' => output.push_quoted(&self.arrows()),
                _ => {
                    self.next();
                    self.plain(c, &mut output);
                }
            }
            if output.text.len() > MAX_EXPANSION {
                return Err(ExpandError::TooLong);
            }
        }
        match stop {
            Some(close) => Err(self.open(close)),
            None => Ok(output),
        }
    }

    fn plain(&mut self, c: char, output: &mut Output) {
        if c != self.how.escape {
            output.push(c);
            return;
        }
        if self.how.keeps_escapes {
            output.push_escaped(c);
        }
        if let Some(next) = self.next() {
            output.push_escaped(next);
        }
    }

    /// `<<` and the white space behind it hold together, so that a here-document is one word.
    fn arrows(&mut self) -> String {
        self.next();
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.next();
        let mut text = "<<".to_owned();
        while let Some(c @ ('\t' | '\r' | ' ')) = self.peek() {
            text.push(c);
            self.next();
        }
        text
    }

    /// Between single quotes all is as it stands.
    fn single(&mut self) -> Result<String, ExpandError> {
        self.next();
        let Some((inside, rest)) = self.rest.split_once('\'') else {
            return Err(ExpandError::OpenQuote { quote: '\'', word: self.source.to_owned() });
        };
        self.rest = rest;
        Ok(if self.how.keeps_quotes { format!("'{inside}'") } else { inside.to_owned() })
    }

    /// Between double quotes variables are replaced, and three characters can be escaped.
    fn double(&mut self) -> Result<String, ExpandError> {
        self.next();
        let mut text = String::new();
        if self.how.keeps_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => {
                    let word = self.source.to_owned();
                    return Err(ExpandError::OpenQuote { quote: '"', word });
                }
                Some('"') => {
                    self.next();
                    if self.how.keeps_quotes {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.next();
                    self.double_plain(c, &mut text);
                }
            }
            if text.len() > MAX_EXPANSION {
                return Err(ExpandError::TooLong);
            }
        }
    }

    fn double_plain(&mut self, c: char, text: &mut String) {
        if c != self.how.escape {
            text.push(c);
            return;
        }
        if self.how.keeps_escapes {
            text.push(c);
        }
        match self.peek() {
            None => {} // the quote is not closed, which is told there
            Some(next) if next == '"' || next == '$' || next == self.how.escape => {
                self.next();
                text.push(next);
            }
            Some(_) => text.push(c),
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.look_up(&name).unwrap_or_else(|| self.kept(&format!("${name}"))));
        }
        self.next();
        match self.peek() {
            None => return Err(self.open('}')),
            Some('{' | '}' | ':') => {
                return Err(ExpandError::NoName { word: self.source.to_owned() });
            }
            Some(_) => {}
        }
        if self.depth >= MAX_NESTING {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let value = self.braced();
        self.depth -= 1;
        value
    }

    /// What follows `${`.
    fn braced(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        match self.next() {
            Some('}') => {
                Ok(self.look_up(&name).unwrap_or_else(|| self.kept(&format!("${{{name}}}"))))
            }
            Some(':') => match self.next() {
                Some(c @ ('+' | '-' | '?')) => self.alternative(&name, c, true),
                other => {
                    let modifier = other.map_or_else(|| ":".to_owned(), |c| format!(":{c}"));
                    Err(ExpandError::Modifier { name, modifier })
                }
            },
            Some(c @ ('+' | '-' | '?')) => self.alternative(&name, c, false),
            Some(c @ ('#' | '%')) => self.trimmed(&name, c),
            Some('/') => self.replaced(&name),
            Some(c) => Err(ExpandError::Modifier { name, modifier: c.to_string() }),
            None => Err(self.open('}')),
        }
    }

    /// `${name:-word}` and its like.
    fn alternative(
        &mut self,
        name: &str,
        kind: char,
        or_empty: bool,
    ) -> Result<String, ExpandError> {
        let word = self.stretch('}', false)?;
        let value = self.look_up(name);
        if value.is_none() && self.how.unset == Unset::Keep {
            let colon = if or_empty { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{kind}{word}}}"));
        }
        let lacks = if value.is_none() { "unset" } else { "empty" };
        let present = value.filter(|value| !(or_empty && value.is_empty()));
        match (kind, present) {
            ('-', present) => Ok(present.unwrap_or(word)),
            ('+', present) => Ok(present.map(|_| word).unwrap_or_default()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let message = if word.is_empty() { format!("must not be {lacks}") } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `${name#pattern}` and its like.
    fn trimmed(&mut self, name: &str, kind: char) -> Result<String, ExpandError> {
        let pattern = self.stretch('}', true)?;
        let Some(value) = self.look_up(name) else {
            return Ok(self.kept(&format!("${{{name}{kind}{pattern}}}")));
        };
        let (longest, pattern) = match pattern.strip_prefix(kind) {
            Some(pattern) => (true, pattern),
            None => (false, pattern.as_str()),
        };
        let pattern = Pattern::read(pattern)?;
        if kind == '#' {
            pattern.trim_start(&value, longest)
        } else {
            pattern.trim_end(&value, longest)
        }
    }

    /// `${name/pattern/replacement}`; with two slashes for all.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.stretch('/', true)?;
        let replacement = self.stretch('}', true)?;
        let Some(value) = self.look_up(name) else {
            return Ok(self.kept(&format!("${{{name}/{pattern}/{replacement}}}")));
        };
        Pattern::read(&pattern)?.replace(&value, &replacement, all)
    }

    /// The text up to `stop`, with its escapes kept or not.
    fn stretch(&mut self, stop: char, keeps_escapes: bool) -> Result<String, ExpandError> {
        let before = std::mem::replace(&mut self.how.keeps_escapes, keeps_escapes);
        let output = self.until(Some(stop));
        self.how.keeps_escapes = before;
        Ok(output?.text)
    }

    /// What stands for a variable that is not set.
    fn kept(&self, written: &str) -> String {
        match self.how.unset {
            Unset::Empty => String::new(),
            Unset::Keep => written.to_owned(),
        }
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        seen.insert(name.to_owned());
        value.map(str::to_owned)
    }

    /// A name: letters, digits and `_`; or digits alone; or one of the characters that a shell's
    /// own parameters have for names.
    fn name(&mut self) -> String {
        let first = self.peek();
        let length = match first {
            Some(c) if c.is_numeric() && !c.is_alphabetic() => self.length_of(char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => self.length_of(|c| c.is_alphanumeric() || c == '_'),
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }

    fn length_of(&self, belongs: impl Fn(char) -> bool) -> usize {
        self.rest.len() - self.rest.trim_start_matches(belongs).len()
    }
}
