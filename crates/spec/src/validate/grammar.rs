//! Small grammars of other specifications that image documents rest on.

use std::sync::LazyLock;

use jiff::Timestamp;

/// RFC 3339 section 5.6 `date-time`, and a date and time that exist.
pub(super) fn is_date_time(text: &str) -> bool {
    let shape = |pattern: &str, text: &str| {
        pattern.len() == text.len()
            && pattern.bytes().zip(text.bytes()).all(|(expected, found)| match expected {
                b'0' => found.is_ascii_digit(),
                other => other == found.to_ascii_uppercase(),
            })
    };
    let Some((head, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else {
        return false;
    };
    let fraction = rest.strip_prefix('.').unwrap_or("0");
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let zone = if rest.starts_with('.') { fraction.get(digits..) } else { Some(rest) };
    let zone = zone.unwrap_or_default();
    let is_zone = shape("Z", zone) || shape("+00:00", zone) || shape("-00:00", zone);
    digits > 0
        && is_zone
        && shape("0000-00-00T00:00:00", head)
        // Fractions of any length are legal, and mean nothing to the calendar.
        && format!("{head}{zone}").to_ascii_uppercase().parse::<Timestamp>().is_ok()
}

/// RFC 3986 `URI`: with a scheme.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let first = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let scheme_legal = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !first || !scheme_legal {
        return false;
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", hierarchy),
    };
    are_uri_characters(path, b"/:@")
        && are_uri_characters(query, b"/?:@")
        && are_uri_characters(fragment, b"/?:@")
        && is_authority(authority)
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
                (if is_address || address.starts_with('v') { "" } else { "[" }, port)
            }
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    are_uri_characters(user, b":")
        && are_uri_characters(host, b"")
        && port.bytes().all(|b| b.is_ascii_digit())
}

/// Unreserved characters, sub-delimiters, escapes, and those of `more`.
fn are_uri_characters(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let legal = if byte == b'%' {
            let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
            digit() && digit()
        } else {
            byte.is_ascii_alphanumeric()
                || b"-._~!$&'()*+,;=".contains(&byte)
                || more.contains(&byte)
        };
        if !legal {
            return false;
        }
    }
    true
}

/// Whether a URI is one of the web.
pub(super) fn is_web_uri(text: &str) -> bool {
    let scheme = text.split(':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// A key such as `com.example.myKey`: two or more labels joined by dots, the first of them a name
/// as top-level domains have it.
pub(super) fn is_reverse_domain(key: &str) -> bool {
    let mut labels = key.split('.');
    let first = labels.next().unwrap_or_default();
    let is_top = first.len() >= 2 && first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let rest: Vec<&str> = labels.collect();
    is_top && !rest.is_empty() && rest.iter().all(|label| !label.is_empty())
}

/// The shape of an SPDX licence expression: identifiers, `+`, `WITH`, `AND`, `OR`, brackets. Whether
/// an identifier is on the list of SPDX is not asked.
pub(super) fn is_licence_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut open = 0_usize;
    let mut wants_operand = true;
    let mut after_with = false;
    for word in spaced.split_whitespace() {
        let is_operator = matches!(word, "AND" | "OR" | "and" | "or" | "WITH" | "with");
        let legal = match word {
            "(" => {
                open += 1;
                wants_operand && !after_with
            }
            ")" => {
                let closes = open > 0 && !wants_operand;
                open = open.saturating_sub(1);
                closes
            }
            _ if is_operator => {
                let follows = !wants_operand;
                wants_operand = true;
                after_with = word.eq_ignore_ascii_case("with");
                follows
            }
            identifier => {
                let wanted = wants_operand;
                wants_operand = false;
                after_with = false;
                wanted && is_licence_identifier(identifier)
            }
        };
        if !legal {
            return false;
        }
    }
    !wants_operand && open == 0
}

fn is_licence_identifier(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
}

/// Operating systems that Go lists as `GOOS`.
pub(super) fn is_goos(os: &str) -> bool {
    static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| {
        "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 \
         solaris wasip1 windows zos"
            .split_whitespace()
            .collect()
    });
    KNOWN.contains(&os)
}

/// Architectures that Go lists as `GOARCH`.
pub(super) fn is_goarch(architecture: &str) -> bool {
    static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| {
        "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 \
         mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm"
            .split_whitespace()
            .collect()
    });
    KNOWN.contains(&architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_rfc_3339() {
        let table = [
            ("2015-10-31T22:22:56.015925234Z", true),
            ("2015-10-31t22:22:56z", true),
            ("0001-01-01T00:00:00Z", true),
            ("2015-10-31T22:22:56+23:59", true),
            ("2015-10-31T22:22:56.123456789012345-08:00", true),
            ("2016-12-31T23:59:60Z", true),
            ("2024-02-29T00:00:00Z", true),
            ("2023-02-29T00:00:00Z", false),
            ("2015-10-31 22:22:56Z", false),
            ("2015-10-31T22:22:56", false),
            ("2015-10-31T22:22Z", false),
            ("2015-10-31T22:22:56.Z", false),
            ("2015-10-31T22:22:56+0800", false),
            ("2015-10-31T25:22:56Z", false),
            ("2015-10-31T22:22:56Z[Europe/Berlin]", false),
            ("20151031T222256Z", false),
            ("é015-10-31T22:22:56Z", false),
            ("", false),
        ];
        for (text, legal) in table {
            assert_eq!(is_date_time(text), legal, "{text}");
        }
    }

    #[test]
    fn uris_of_rfc_3986() {
        let table = [
            ("https://example.com/foo", true),
            ("https://user:pw@[2001:db8::1]:8443/a%20b?c=d&e#f/g?", true),
            ("urn:example:a", true),
            ("file:///a", true),
            ("mailto:a@example.com", true),
            ("example.com/a", false),
            ("/a", false),
            ("", false),
            ("http://exa mple.com", false),
            ("https://example.com/%zz", false),
            ("https://example.com/%2", false),
            ("https://[::1/a", false),
            ("https://[x]/a", false),
            ("https://example.com:8a/", false),
            ("1a:b", false),
            ("https://example.com/ä", false),
            ("https://example.com/a#b#c", false),
        ];
        for (text, legal) in table {
            assert_eq!(is_uri(text), legal, "{text}");
        }
    }

    #[test]
    fn licence_expressions_have_a_shape() {
        let good = [
            "MIT",
            "MIT AND (Apache-2.0 OR GPL-2.0+)",
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "LicenseRef-x",
            "DocumentRef-a:LicenseRef-b",
            "(MIT)",
        ];
        let bad = [
            "",
            "MIT, Apache-2.0",
            "MIT Apache-2.0",
            "MIT AND",
            "OR MIT",
            "(MIT",
            "MIT)",
            "()",
            "MIT WITH (a)",
            "MIT/X11",
        ];
        for text in good {
            assert!(is_licence_expression(text), "{text}");
        }
        for text in bad {
            assert!(!is_licence_expression(text), "{text}");
        }
    }

    #[test]
    fn keys_in_reverse_domain_notation() {
        for key in ["com.example.myKey", "org.opencontainers.image.title", "vnd.docker.x", "io.a/b"]
        {
            assert!(is_reverse_domain(key), "{key}");
        }
        for key in ["key", "", ".a", "com.", "com..a", "a.b", "my key.x"] {
            assert!(!is_reverse_domain(key), "{key}");
        }
    }
}
