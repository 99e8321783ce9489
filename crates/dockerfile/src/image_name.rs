//! Whether a text can name an image, and which platform a text names: just enough for checks.
//!
//! The builder has its own types for both; this crate knows nothing of images.

/// Whether `text` is a name that can stand for an image: `[host[:port]/]path[:tag][@digest]`.
pub(crate) fn is_image_name(text: &str) -> bool {
    let is_identifier = text.len() == 64 && text.chars().all(is_hex);
    if text.is_empty() || is_identifier {
        return false;
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let (host, rest) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (Some(first), rest),
        _ => (None, name),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    host.is_none_or(is_valid_host)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_hex(c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c)
}

/// What tells a host from the first part of a path.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first
}

fn is_valid_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let is_address = address.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
            return is_address && port.strip_prefix(':').is_none_or(is_number);
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_label = |label: &str| {
        let ends = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(ends)
            && label.ends_with(ends)
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.split('.').all(is_label) && port.is_none_or(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// Lower-case letters and digits, parted by `.`, `_`, `__` or dashes.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_gap = |gap: &str| matches!(gap, "" | "." | "_" | "__") || gap.chars().all(|c| c == '-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_gap)
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    hex.len() >= 32
        && hex.chars().all(|c| c.is_ascii_hexdigit())
        && algorithm.split(['+', '.', '-', '_']).all(is_part)
}

/// The system and the architecture of a platform's text, in their usual names; none where it is no
/// platform.
pub(crate) fn parse_platform(text: &str) -> Option<(String, String)> {
    const SYSTEMS: [&str; 6] = ["linux", "windows", "darwin", "freebsd", "wasip1", "js"];
    let parts: Vec<&str> = text.split('/').collect();
    let is_part = |part: &&str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "_.-()".contains(c);
        !part.is_empty() && part.chars().all(is_letter)
    };
    if parts.len() > 3 || !parts.iter().all(is_part) {
        return None;
    }
    let first = parts.first()?.to_lowercase();
    let system = first.split('(').next().unwrap_or_default().to_owned();
    match parts.get(1) {
        Some(architecture) => Some((system, usual(architecture))),
        None if SYSTEMS.contains(&system.as_str()) => Some((system, String::new())),
        None => Some(("linux".to_owned(), usual(&first))),
    }
}

fn usual(architecture: &str) -> String {
    let lower = architecture.to_lowercase();
    match lower.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "i386" => "386".to_owned(),
        "armhf" | "armel" => "arm".to_owned(),
        _ => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_other_texts() {
        for name in [
            "scratch",
            "busybox:latest",
            "docker.io/library/busybox:1.36-musl",
            "localhost:5000/a__b/c-d",
            "[::1]:5000/a",
            "a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(is_image_name(name), "{name}");
        }
        for text in ["", "busybox:", "busybox@bogus", "Busybox", "a//b", "a b", "a:b:c", "-a"] {
            assert!(!is_image_name(text), "{text}");
        }
    }

    #[test]
    fn platforms_have_a_system_and_an_architecture() {
        let platform = |text| parse_platform(text).map(|(a, b)| format!("{a} {b}"));
        assert_eq!(platform("linux/x86_64").unwrap(), "linux amd64");
        assert_eq!(platform("arm64").unwrap(), "linux arm64");
        assert_eq!(platform("windows(10.0)/amd64").unwrap(), "windows amd64");
        assert_eq!(platform("linux/"), None);
    }
}
