//! STOPSIGNAL: signals by name or number, as Linux has them.

/// Names of signals with their numbers.
const NAMES: [(&str, i32); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
];

const FIRST_REALTIME: i32 = 34;
const LAST_REALTIME: i32 = 64;

/// The number of a signal that STOPSIGNAL names: by any number but 0, whether there is such a signal
/// or not; or by name with or without `SIG`, in any case.
///
/// ```
/// use corten_dockerfile::signal_number;
///
/// assert_eq!(signal_number("SIGTERM"), Some(15));
/// assert_eq!(signal_number("rtmin+3"), Some(37));
/// assert_eq!(signal_number("SIGNAL"), None);
/// ```
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return Some(number).filter(|number| *number != 0);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    if name == "RTMAX" {
        return Some(LAST_REALTIME);
    }
    let above = name.strip_prefix("RTMIN+").and_then(offset).filter(|n| *n <= 15);
    let below = name.strip_prefix("RTMAX-").and_then(offset).filter(|n| *n <= 14);
    above.map(|n| FIRST_REALTIME + n).or(below.map(|n| LAST_REALTIME - n))
}

/// A number from 1 on that is written without a zero before it.
fn offset(text: &str) -> Option<i32> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}
