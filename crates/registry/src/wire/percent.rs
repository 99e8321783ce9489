//! Percent-encoding (RFC 3986 section 2.1) of path segments and query values.

/// Decodes `%XX`; `None` where an escape is cut short, is no hex, or the result is no UTF-8. A plus
/// stays a plus: media types hold it, and no word of the protocol holds a space.
pub(super) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Encodes everything but unreserved characters, `:` and `/`, which are legal in a query.
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes_and_keeps_a_plus() {
        let cases = [
            ("plain", Some("plain")),
            ("sha256%3Aabc", Some("sha256:abc")),
            ("a%2bb+c", Some("a+b+c")),
            ("%C3%A9", Some("é")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(decode(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["application/vnd.x+json", "a b&c=d?e#f", "é%", ""] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
    }
}
