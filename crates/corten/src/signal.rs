//! The names of signals (signal(7)): on command lines and in image configs (`StopSignal`).

/// The signals with a name of their own, as Linux numbers them on every machine corten runs on.
const NAMES: [(&str, i32); 32] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// First and last signal of the real-time range, as the C library counts it.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal that is written as a number, or as a name with or without `SIG`:
/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`.
pub(crate) fn number(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse() {
        return (1..=REAL_TIME.1).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |offset: &str, sign: char| {
        if offset.is_empty() { Some(0) } else { offset.strip_prefix(sign)?.parse::<i32>().ok() }
    };
    let number = if let Some(offset) = name.strip_prefix("RTMIN") {
        REAL_TIME.0.checked_add(real_time(offset, '+')?)?
    } else if let Some(offset) = name.strip_prefix("RTMAX") {
        REAL_TIME.1.checked_sub(real_time(offset, '-')?)?
    } else {
        return NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    };
    (REAL_TIME.0..=REAL_TIME.1).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_signal_is_a_number_or_a_name() {
        for (word, wanted) in [
            ("9", Some(9)),
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("sigint", Some(2)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("RTMAX-1", Some(63)),
            ("RTMIN+31", None),
            ("RTMIN-1", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("SIG", None),
            ("", None),
        ] {
            assert_eq!(number(word), wanted, "{word}");
        }
    }
}
