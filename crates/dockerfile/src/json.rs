//! Just enough JSON to tell an array of strings, an array of other things, and text that is neither.

/// Deepest nesting that is followed; what nests deeper is not an argument list.
const DEEPEST: usize = 64;

/// What an instruction's argument is, read as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// An array of strings, each with its bytes from where to where in the text.
    Strings(Vec<(String, usize, usize)>),
    /// A well-formed array, but not of strings.
    Other,
    /// Not an array.
    Not,
}

/// Reads `text`, whose first character that is no space must open an array.
pub(crate) fn read(text: &str) -> Json {
    let mut reader = Reader { text, at: text.len() - text.trim_start().len() };
    match reader.array() {
        Some(found) if reader.rest().trim_matches([' ', '\t', '\r', '\n']).is_empty() => found,
        _ => Json::Not,
    }
}

/// The string under `key` of the object that `text` is.
pub(crate) fn member(text: &str, key: &str) -> Option<String> {
    let mut reader = Reader { text, at: 0 };
    let mut found = None;
    reader.take('{')?;
    if reader.take('}').is_none() {
        loop {
            reader.skip_space();
            let name = reader.string()?;
            reader.take(':')?;
            reader.skip_space();
            let start = reader.at;
            reader.value(0)?;
            if name == key {
                let value = Reader { text, at: start }.string();
                found = value;
            }
            if reader.take(',').is_none() {
                reader.take('}')?;
                break;
            }
        }
    }
    found.filter(|_| reader.rest().trim().is_empty())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.skip_space();
        self.rest().starts_with(c).then(|| self.at += c.len_utf8())
    }

    fn array(&mut self) -> Option<Json> {
        self.take('[')?;
        let mut strings = Vec::new();
        let mut others = false;
        if self.take(']').is_some() {
            return Some(Json::Strings(strings));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.rest().starts_with('"') {
                let value = self.string()?;
                strings.push((value, start, self.at));
            } else {
                self.value(0)?;
                others = true;
            }
            if self.take(',').is_some() {
                continue;
            }
            self.take(']')?;
            return Some(if others { Json::Other } else { Json::Strings(strings) });
        }
    }

    /// Skips one value of any kind.
    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        if depth > DEEPEST {
            return None;
        }
        let rest = self.rest();
        match rest.chars().next()? {
            '"' => self.string().map(|_| ()),
            '[' => self.members(']', |reader| reader.value(depth + 1)),
            '{' => self.members('}', |reader| {
                reader.skip_space();
                reader.string()?;
                reader.take(':')?;
                reader.value(depth + 1)
            }),
            '-' | '0'..='9' => self.number(),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|w| rest.starts_with(w))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    fn members(&mut self, close: char, member: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1; // the bracket that opens
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            if self.take(',').is_none() {
                return self.take(close);
            }
        }
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest();
        let count = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        self.at += count;
        count
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.rest().starts_with('-') {
            self.at += 1;
        }
        let leads_with_zero = self.rest().starts_with('0');
        let whole = self.digits();
        if whole == 0 || (leads_with_zero && whole > 1) {
            return None;
        }
        if self.rest().starts_with('.') {
            self.at += 1;
            (self.digits() > 0).then_some(())?;
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            (self.digits() > 0).then_some(())?;
        }
        // What no double holds is not a number to Go, and the text is taken for a shell's.
        let text = self.text.get(start..self.at)?;
        text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| ())
    }

    fn string(&mut self) -> Option<String> {
        let mut rest = self.rest().strip_prefix('"')?.chars();
        let mut value = String::new();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => value.push(escaped(&mut rest)?),
                c if c < ' ' => return None,
                c => value.push(c),
            }
        }
        self.at = self.text.len() - rest.as_str().len();
        Some(value)
    }
}

fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = unit(rest)?;
            let mut ahead = rest.clone();
            let second = match (ahead.next(), ahead.next()) {
                (Some('\\'), Some('u')) => unit(&mut ahead),
                _ => None,
            };
            let pair = second.filter(|low| (0xdc00..0xe000).contains(low));
            match pair.filter(|_| (0xd800..0xdc00).contains(&first)) {
                Some(low) => {
                    *rest = ahead;
                    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))?
                }
                // Half of a pair stands for nothing; so does Go read it.
                None => char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        _ => return None,
    })
}

fn unit(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut value = 0;
    for _ in 0..4 {
        value = value * 16 + rest.next()?.to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Option<Vec<String>> {
        match read(text) {
            Json::Strings(found) => Some(found.into_iter().map(|(value, ..)| value).collect()),
            _ => None,
        }
    }

    #[test]
    fn arrays_of_strings_are_read() {
        for (text, expected) in [
            ("[]", vec![]),
            ("[\"\"]", vec![""]),
            ("\t[\t\"a\",\t\"b\"\t]\t", vec!["a", "b"]),
            (
                r#"["abc 123", "♥", "\" \\ \/ \b \f \n \r \t \u0000", "\ud83d\ude00\ud83d"]"#,
                vec!["abc 123", "♥", "\" \\ / \u{8} \u{c} \n \r \t \0", "😀\u{fffd}"],
            ),
        ] {
            assert_eq!(strings(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn arrays_of_other_things_are_told_from_text() {
        for text in
            ["[\"a\",42]", "[1.5e3]", "[{\"c\": \"d\"},\"b\"]", "[[\"c\"]]", "[true]", "[null]"]
        {
            assert_eq!(read(text), Json::Other, "{text}");
        }
        for text in ["['a']", "[\"a\"", "[\"a\"] b", "a", "", "[01]", "[1e999]", "[a]", "[\"a\",]"]
        {
            assert_eq!(read(text), Json::Not, "{text}");
        }
    }

    #[test]
    fn what_nests_without_end_is_no_array() {
        assert_eq!(read(&"[".repeat(100_000)), Json::Not);
    }
}
