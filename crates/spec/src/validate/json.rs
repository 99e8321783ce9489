//! A reader of JSON that sees what ordinary ones pass over: duplicate names, numbers that lose
//! digits, stray surrogates (I-JSON, RFC 7493), each with its place as a JSON pointer (RFC 6901).

use std::collections::HashSet;
use std::fmt::Write as _;

use super::findings::Findings;
use super::table::Code;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Largest integer that a double holds exactly, with all smaller ones.
const MAX_EXACT: i64 = 1 << 53;

/// A value as read. Of duplicate names all members are kept, in the order they stand in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// The number as written, and its value where it is an int64 written without fraction and
    /// exponent.
    Number(String, Option<i64>),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Reads `bytes`; `None` where they are no JSON at all, which is then reported.
pub(super) fn read(report: &mut Findings, bytes: &[u8]) -> Option<Value> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("byte {} is not UTF-8", error.valid_up_to());
            report.add(Code::JsonEncoding, "", message);
            return None;
        }
    };
    let mut reader = Reader { text, at: 0, pointer: String::new(), report };
    let value = reader.value(0).and_then(|value| {
        reader.space();
        if reader.peek().is_none() { Ok(value) } else { Err(Break::Syntax("the end of the text")) }
    });
    match value {
        Ok(value) => Some(value),
        Err(reason) => {
            let (line, column) = place(text, reader.at);
            let (code, message) = match reason {
                Break::Syntax(expected) => {
                    (Code::JsonSyntax, format!("line {line} column {column}: expected {expected}"))
                }
                Break::Depth => {
                    (Code::JsonDepth, format!("line {line}: more than {MAX_DEPTH} levels"))
                }
            };
            let pointer = std::mem::take(&mut reader.pointer);
            report.add(code, &pointer, message);
            None
        }
    }
}

/// Line and column, both from 1, of the byte at `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

enum Break {
    /// What stood nowhere.
    Syntax(&'static str),
    Depth,
}

struct Reader<'t, 'r> {
    text: &'t str,
    at: usize,
    pointer: String,
    report: &'r mut Findings,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Break> {
        if depth > MAX_DEPTH {
            return Err(Break::Depth);
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Break> {
        let words =
            [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        for (word, value) in words {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(Break::Syntax("a value"))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Break> {
        self.at += 1;
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut seen = HashSet::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(Break::Syntax("a name in quotes"));
            }
            let name = self.string()?;
            let parent = self.descend(&name);
            if !seen.insert(name.clone()) {
                self.note(Code::JsonDuplicateKey, format!("'{name}' stands here again"));
            }
            self.space();
            if !self.take(b':') {
                return Err(Break::Syntax("':'"));
            }
            let value = self.value(depth + 1)?;
            self.pointer.truncate(parent);
            members.push((name, value));
            self.space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(Break::Syntax("',' or '}'"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Break> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let parent = self.descend(&items.len().to_string());
            items.push(self.value(depth + 1)?);
            self.pointer.truncate(parent);
            self.space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(Break::Syntax("',' or ']'"));
            }
        }
    }

    /// Adds a step to the pointer; answers the length to cut it back to.
    fn descend(&mut self, name: &str) -> usize {
        let parent = self.pointer.len();
        push_step(&mut self.pointer, name);
        parent
    }

    fn note(&mut self, code: Code, message: String) {
        self.report.add(code, &self.pointer, message);
    }

    fn string(&mut self) -> Result<String, Break> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(character) = rest.chars().next() else {
                return Err(Break::Syntax("'\"' at the end of the string"));
            };
            match character {
                '"' => {
                    self.at += 1;
                    break;
                }
                '\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                '\0'..='\u{1f}' => return Err(Break::Syntax("no bare control character")),
                other => {
                    self.at += other.len_utf8();
                    text.push(other);
                }
            }
        }
        if text.chars().any(is_noncharacter) {
            self.note(Code::JsonCodePoint, "a string holds a noncharacter".to_owned());
        }
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, Break> {
        let letter = self.peek().ok_or(Break::Syntax("an escape"))?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.escaped_code_point()?,
            _ => return Err(Break::Syntax("one of the escapes of JSON")),
        })
    }

    fn escaped_code_point(&mut self) -> Result<char, Break> {
        let first = self.four_digits()?;
        let low = |unit: u32| (0xdc00..0xe000).contains(&unit);
        let mut code_point = first;
        if (0xd800..0xdc00).contains(&first) {
            let after = self.at;
            let paired = self.take(b'\\') && self.take(b'u');
            match paired.then(|| self.four_digits()).transpose()? {
                Some(second) if low(second) => {
                    code_point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                }
                _ => self.at = after,
            }
        }
        Ok(char::from_u32(code_point).unwrap_or_else(|| {
            self.note(Code::JsonCodePoint, format!("\\u{first:04x} is half of a pair"));
            char::REPLACEMENT_CHARACTER
        }))
    }

    fn four_digits(&mut self) -> Result<u32, Break> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += if unit.is_some() { 4 } else { 0 };
        unit.ok_or(Break::Syntax("four hexadecimal digits"))
    }

    fn number(&mut self) -> Result<Value, Break> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default().to_owned();
        let integer = text.parse::<i64>().ok().filter(|_| is_integer);
        let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
        let exact = !is_integer || integer.is_some_and(|i| (-MAX_EXACT..=MAX_EXACT).contains(&i));
        if !finite {
            self.note(Code::JsonNumberRange, format!("{} does not fit a double", clip(&text)));
        } else if !exact {
            self.note(Code::JsonNumberPrecision, format!("{} is above 2^53", clip(&text)));
        }
        Ok(Value::Number(text, integer))
    }

    fn digits(&mut self) -> Result<(), Break> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Break::Syntax("a digit")) } else { Ok(()) }
    }
}

/// The 66 code points that never stand for a character.
fn is_noncharacter(character: char) -> bool {
    let code_point = u32::from(character);
    (0xfdd0..=0xfdef).contains(&code_point) || code_point & 0xfffe == 0xfffe
}

/// Adds one step to a JSON pointer.
pub(super) fn push_step(pointer: &mut String, name: &str) {
    pointer.push('/');
    // Writing to a String cannot fail.
    let _ = write!(pointer, "{}", clip(name).replace('~', "~0").replace('/', "~1"));
}

/// Text of foreign bytes for a message: no longer than a reader cares to see.
pub(super) fn clip(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
