//! Words as Go prints them: the histories of images are full of them.

use std::fmt::Write as _;
use std::time::Duration;

/// A list of quoted texts: `["a" "b c"]`.
pub(crate) fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", words.join(" "))
}

/// A list of plain texts: `[a b]`.
pub(crate) fn listed(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A length of time: `1m30s`, `1.5s`, `300ms`, `0s`.
pub(crate) fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let unit = |scale: u128, name: &str| {
        let (whole, part) = (nanos / scale, nanos % scale);
        let digits = scale.ilog10() as usize;
        let part = format!("{part:0digits$}");
        let part = part.trim_end_matches('0');
        if part.is_empty() || scale == 1 {
            format!("{whole}{name}")
        } else {
            format!("{whole}.{part}{name}")
        }
    };
    match nanos {
        0 => "0s".to_owned(),
        n if n < 1_000 => unit(1, "ns"),
        n if n < 1_000_000 => unit(1_000, "µs"),
        n if n < 1_000_000_000 => unit(1_000_000, "ms"),
        _ => {
            let seconds = time.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = nanos - u128::from(hours * 3600 + minutes * 60) * 1_000_000_000;
            let rest = Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX));
            let part = format!("{:09}", rest.subsec_nanos());
            let part = part.trim_end_matches('0');
            let dot = if part.is_empty() { "" } else { "." };
            let tail = format!("{}{dot}{part}s", rest.as_secs());
            match (hours, minutes) {
                (0, 0) => tail,
                (0, _) => format!("{minutes}m{tail}"),
                _ => format!("{hours}h{minutes}m{tail}"),
            }
        }
    }
}

/// Seconds after 1970 as RFC 3339 writes them.
pub(crate) fn timestamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar from days, after Howard Hinnant.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_go_writes_them() {
        let words = ["/bin/sh", "-c", "echo \"a\"\n\t\\"].map(str::to_owned);
        assert_eq!(quoted(&words), r#"["/bin/sh" "-c" "echo \"a\"\n\t\\"]"#);
        assert_eq!(listed(&words[..2]), "[/bin/sh -c]");
    }

    #[test]
    fn lengths_of_time_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1_500_000, "1.5ms"),
            (300_000_000, "300ms"),
            (5_000_000_000, "5s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }
}
