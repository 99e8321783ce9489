//! Walking over the text of a header: tokens, quoted strings, and what stands between them
//! (RFC 9110 section 5.6).

pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Skips spaces and empty list elements.
    pub(super) fn skip_commas(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// Takes `wanted` where it stands next.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes everything up to a character that `is_end`, which stays.
    pub(super) fn until(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A token; empty where none stands.
    pub(super) fn token(&mut self) -> &'a str {
        self.until(|c| !is_token(c))
    }

    /// The value of a parameter: a quoted string, or the bare text up to `,`, `;` or a space.
    pub(super) fn value(&mut self) -> String {
        if self.take('"') {
            self.quoted()
        } else {
            self.until(|c| matches!(c, ',' | ';' | ' ' | '\t')).to_owned()
        }
    }

    /// What follows an opening quote, without escapes; an end that is missing is the text's end.
    fn quoted(&mut self) -> String {
        let mut value = String::new();
        let mut characters = self.rest.chars();
        while let Some(c) = characters.next() {
            match c {
                '"' => break,
                '\\' => value.extend(characters.next()),
                other => value.push(other),
            }
        }
        self.rest = characters.as_str();
        value
    }

    /// The text from here on, for looking ahead.
    pub(super) fn ahead(&self) -> Cursor<'a> {
        Cursor { rest: self.rest }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Writes `text` as a quoted string; control characters, which no header may hold, become spaces.
pub(super) fn write_quoted(
    f: &mut std::fmt::Formatter<'_>,
    name: &str,
    text: &str,
) -> std::fmt::Result {
    use std::fmt::Write as _;
    write!(f, "{name}=\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            c if c.is_control() => f.write_char(' ')?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
