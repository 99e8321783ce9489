//! HEALTHCHECK, and lengths of time as Go writes them.

use std::time::Duration;

use super::{CommandLine, InstructionError, LineForm};
use crate::flag::{FlagKind, Flags};
use crate::keyword::Keyword;
use crate::position::Word;
use crate::statement::{Arguments, Statement};

/// `HEALTHCHECK`. A length of time of zero leaves it to whoever runs the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProbe {
    /// What is run.
    pub test: HealthTest,
    /// `--interval`: between two checks.
    pub interval: Duration,
    /// `--timeout`: the longest that one may take.
    pub timeout: Duration,
    /// `--start-period`: how long failures do not count at first.
    pub start_period: Duration,
    /// `--start-interval`: between two checks in that time.
    pub start_interval: Duration,
    /// `--retries`: how many failures in a row count; 0 where it is not given.
    pub retries: u32,
}

/// What a health check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthTest {
    /// Nothing, also where the base has a check.
    None,
    /// A command.
    Command(CommandLine),
}

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It has another form.
    #[error("`{text}` is no length of time like 1m30s")]
    Form {
        /// The text.
        text: String,
    },
    /// It is too short to be meant.
    #[error("`{text}` is less than a millisecond")]
    Short {
        /// The text.
        text: String,
    },
}

/// Reads a length of time as Go writes them: `1h2m3.5s`, `300ms`, `0`.
///
/// # Errors
/// Where it has another form, is negative, or too long to count in nanoseconds.
///
/// ```
/// use corten_dockerfile::parse_duration;
///
/// assert_eq!(parse_duration("1m1.5s").unwrap().as_millis(), 61_500);
/// assert!(parse_duration("5").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let nanoseconds =
        nanoseconds(text).ok_or_else(|| DurationError::Form { text: text.to_owned() });
    nanoseconds.map(Duration::from_nanos)
}

/// Units with their nanoseconds; the longer names of two first.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" || text == "-0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, nanoseconds) =
            UNITS.iter().find(|(unit, _)| after.strip_prefix(unit).is_some_and(ends_unit))?;
        rest = after.strip_prefix(unit)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut part = whole.checked_mul(*nanoseconds)?;
        let mut scale = *nanoseconds;
        for digit in fraction.chars() {
            scale /= 10;
            part = part.checked_add(u64::from(digit.to_digit(10)?) * scale)?;
        }
        total = total.checked_add(part)?;
    }
    // Go counts in signed numbers.
    i64::try_from(total).ok().map(|_| total)
}

/// A unit ends before the next number, or with the text.
fn ends_unit(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

fn digits(text: &str) -> (&str, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.split_at(text.len() - rest.len())
}

const TIMES: [&str; 4] = ["interval", "timeout", "start-period", "start-interval"];

pub(super) fn read(statement: &Statement) -> Result<HealthProbe, InstructionError> {
    let wrong = |takes| InstructionError::Arguments {
        keyword: Keyword::Healthcheck,
        takes,
        span: statement.span,
    };
    let Arguments::Health(kind, rest) = &statement.arguments else {
        return Err(wrong("NONE, or CMD and a command"));
    };
    let mut health = HealthProbe {
        test: HealthTest::None,
        interval: Duration::ZERO,
        timeout: Duration::ZERO,
        start_period: Duration::ZERO,
        start_interval: Duration::ZERO,
        retries: 0,
    };
    if kind.text.eq_ignore_ascii_case("NONE") {
        return if rest.words().is_empty() { Ok(health) } else { Err(wrong("nothing after NONE")) };
    }
    let known = TIMES.iter().map(|name| (*name, FlagKind::Value));
    let known: Vec<_> = known.chain([("retries", FlagKind::Value)]).collect();
    let keyword = Keyword::Healthcheck;
    let flags = Flags::read(&statement.flags, &known)
        .map_err(|source| InstructionError::Flag { keyword, source })?;
    if !kind.text.eq_ignore_ascii_case("CMD") {
        return Err(wrong("NONE, or CMD and a command"));
    }
    let words: Vec<String> = rest.words().iter().map(|word| word.text.clone()).collect();
    if words.is_empty() {
        return Err(wrong("a command after CMD"));
    }
    let form = if rest.is_json() { LineForm::Exec } else { LineForm::Shell };
    health.test = HealthTest::Command(CommandLine { words, form });
    let [interval, timeout, start_period, start_interval] = TIMES;
    health.interval = time(&flags, interval)?;
    health.timeout = time(&flags, timeout)?;
    health.start_period = time(&flags, start_period)?;
    health.start_interval = time(&flags, start_interval)?;
    health.retries = retries(&flags)?;
    Ok(health)
}

/// Zero, or a millisecond and more.
fn time(flags: &Flags, flag: &'static str) -> Result<Duration, InstructionError> {
    let Some(Word { text, span }) = flags.value(flag).filter(|value| !value.text.is_empty()) else {
        return Ok(Duration::ZERO);
    };
    let wrong = |source| InstructionError::Duration { flag, source, span: *span };
    let length = parse_duration(text).map_err(wrong)?;
    if !length.is_zero() && length < Duration::from_millis(1) {
        return Err(wrong(DurationError::Short { text: text.clone() }));
    }
    Ok(length)
}

fn retries(flags: &Flags) -> Result<u32, InstructionError> {
    let Some(Word { text, span }) = flags.value("retries").filter(|value| !value.text.is_empty())
    else {
        return Ok(0);
    };
    let count = text.parse::<i32>().ok().and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| InstructionError::Retries { value: text.clone(), span: *span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_gos() {
        for (text, expected) in [
            ("0", 0),
            ("+5s", 5_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("1.5ms", 1_500_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3\u{b5}s", 3_000),
            ("1m1m", 120_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(expected)), "{text}");
        }
        for text in ["", "5", "s", "1d", "1 s", "-1s", "..5s", "3000000h", "1mm"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
