//! Foreign text made harmless: names, labels, paths and messages come from whoever made an image or
//! answers for a registry, and a terminal obeys the control sequences in what it is shown.

/// `text` in one line, with control characters (line breaks among them) and those that change the
/// direction of text written as escapes.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, acts)
}

/// The same for bytes that may be no UTF-8; those that are not are written as `\xNN`.
pub(crate) fn plain_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&plain(chunk.valid()));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// The same for a text of many lines: line breaks stay.
pub(crate) fn plain_lines(text: &str) -> String {
    escaped(text, |letter| letter != '\n' && acts(letter))
}

/// JSON that was written already: what its grammar allows to stand raw in a string and a terminal
/// may still obey (U+007F to U+009F) becomes an escape of JSON, with the same meaning.
pub(crate) fn plain_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter != '\n' && letter.is_control() {
            text.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            text.push(letter);
        }
    }
    text
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_escaped(letter) {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Whether a terminal would act on it instead of showing it: control characters (C0, DEL, C1), line
/// and paragraph separators, and the marks, embeddings, overrides and isolates of direction.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let rows = [
            ("/etc/motd ✓ ü", "/etc/motd ✓ ü"),
            ("a\x1b]0;title\x07b", "a\\u{1b}]0;title\\u{7}b"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("exe\u{202e}gnp", "exe\\u{202e}gnp"),
        ];
        for (text, expected) in rows {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(plain_bytes(b"a\xff\x1bb"), "a\\xff\\u{1b}b");
        assert_eq!(plain_lines("a\x1b\nb"), "a\\u{1b}\nb");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "a\u{9b}31m\u{7f}\n\u{202e}";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let written = plain_json(&json);
        assert!(!written.chars().any(|letter| letter != '\n' && letter.is_control()));
        assert_eq!(serde_json::from_str::<[String; 1]>(&written).unwrap(), [text]);
    }
}
