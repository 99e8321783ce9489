//! Redactions: texts of two runs made comparable.

/// Replaces what differs from run to run or from machine to machine: digests and UUIDs by numbers
/// in order of their first appearance, `127.0.0.1:PORT` by `HOST`, paths below the temporary
/// directory by `TMP`, times (RFC 3339) by `TIME`.
pub fn redact(text: &str) -> String {
    let mut seen = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let found = if before.is_ascii_alphanumeric() { None } else { piece(rest) };
        let (length, replacement) = match found {
            Some((length, Piece::Fixed(word))) => (length, word.to_owned()),
            Some((length, Piece::Numbered(kind))) => {
                let found = &rest[..length];
                let place = seen.iter().position(|known| *known == found).unwrap_or_else(|| {
                    seen.push(found);
                    seen.len() - 1
                });
                (length, format!("{kind}{}", place + 1))
            }
            None => (c.len_utf8(), c.to_string()),
        };
        out.push_str(&replacement);
        before = rest[..length].chars().last().unwrap_or(' ');
        rest = &rest[length..];
    }
    out
}

enum Piece {
    Fixed(&'static str),
    Numbered(&'static str),
}

/// What stands at the beginning of `text`, with its length in bytes.
fn piece(text: &str) -> Option<(usize, Piece)> {
    let numbered = |length: usize, kind| (length, Piece::Numbered(kind));
    let fixed = |length: usize, word| (length, Piece::Fixed(word));
    None.or_else(|| digest(text).map(|length| numbered(length, "DIGEST-")))
        .or_else(|| pattern(text, UUID).map(|length| numbered(length, "UUID-")))
        .or_else(|| time(text).map(|length| fixed(length, "TIME")))
        .or_else(|| host(text).map(|length| fixed(length, "HOST")))
        .or_else(|| temporary(text).map(|length| fixed(length, "TMP")))
}

fn digest(text: &str) -> Option<usize> {
    [("sha256:", 64), ("sha512:", 128), ("blake3:", 64)].into_iter().find_map(|(name, length)| {
        let digits = text.strip_prefix(name)?;
        (hex_run(digits) >= length).then_some(name.len() + length)
    })
}

fn hex_run(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_hexdigit).count()
}

/// `h` is a hex digit, `d` a digit, anything else itself.
fn pattern(text: &str, pattern: &str) -> Option<usize> {
    let fits = |(wanted, byte): (u8, u8)| match wanted {
        b'h' => byte.is_ascii_hexdigit(),
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let long_enough = text.len() >= pattern.len();
    (long_enough && pattern.bytes().zip(text.bytes()).all(fits)).then_some(pattern.len())
}

const UUID: &str = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";

fn time(text: &str) -> Option<usize> {
    let start = pattern(text, "dddd-dd-ddTdd:dd:dd")?;
    let rest = &text[start..];
    let fraction = match rest.strip_prefix('.') {
        Some(digits) => 1 + digits.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    let zone = &rest[fraction..];
    let zone =
        if zone.starts_with('Z') { 1 } else { pattern(&zone.replacen('-', "+", 1), "+dd:dd")? };
    Some(start + fraction + zone)
}

fn host(text: &str) -> Option<usize> {
    ["127.0.0.1:", "localhost:", "[::1]:"].into_iter().find_map(|name| {
        let digits = text.strip_prefix(name)?.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then_some(name.len() + digits)
    })
}

/// The temporary directory and the one name below it that the test was given.
fn temporary(text: &str) -> Option<usize> {
    let root = std::env::temp_dir();
    let root = root.to_str()?.trim_end_matches('/');
    let rest = text.strip_prefix(root)?.strip_prefix('/')?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name = rest.find(|c| !legal(c)).unwrap_or(rest.len());
    (name > 0).then_some(root.len() + 1 + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced() {
        let (a, b) = ("a".repeat(64), "b".repeat(128));
        let tmp = std::env::temp_dir();
        let text = format!(
            "pushed sha256:{a} and sha512:{b}, again sha256:{a} to http://127.0.0.1:40123/v2/ at \
             2026-11-23T08:12:07.123Z (2026-11-23T08:12:07+01:00) in {}/.tmpX1y/blobs é \
             0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f sha256:short 127.0.0.1:",
            tmp.display()
        );
        assert_eq!(
            redact(&text),
            "pushed DIGEST-1 and DIGEST-2, again DIGEST-1 to http://HOST/v2/ at \
             TIME (TIME) in TMP/blobs é \
             UUID-3 sha256:short 127.0.0.1:"
        );
    }

    #[test]
    fn nothing_else_is_touched() {
        for text in ["", "plain text 12:30", "xsha256:abc", "é/tmp", "2026-11-23"] {
            assert_eq!(redact(text), text);
        }
    }
}
