//! Ranges of bytes: in requests (`Range`), in answers (`Content-Range`), and in the form that
//! uploads use for both (RFC 9110 section 14; distribution-spec, Pushing a blob in chunks).

use std::fmt;

/// Bytes from one offset to another, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    first: u64,
    last: u64,
}

impl Range {
    /// `None` when it would be empty or its length would not fit.
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last && last < u64::MAX).then_some(Self { first, last })
    }

    /// The `length` bytes from `first` on; `None` when that is none, or too many.
    pub fn of(first: u64, length: u64) -> Option<Self> {
        Self::new(first, first.checked_add(length.checked_sub(1)?)?)
    }

    /// Offset of the first byte.
    pub fn first(self) -> u64 {
        self.first
    }

    /// Offset of the last byte, which is part of the range.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Number of bytes; above zero.
    #[allow(clippy::len_without_is_empty)] // A range is never empty.
    pub fn len(self) -> u64 {
        self.end() - self.first
    }

    /// Offset of the byte after the last one.
    pub fn end(self) -> u64 {
        // `new` refuses the one `last` for which this would overflow.
        self.last + 1
    }

    /// Reads the form of uploads, in `Range` of an answer and `Content-Range` of a chunk: `0-99`,
    /// and what is met in the field beside it, `bytes=0-99` and `bytes 0-99/100`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = match strip_unit(text) {
            Some(rest) => rest.trim_start_matches(['=', ' ']),
            None => text,
        };
        let text = text.split_once('/').map_or(text, |(range, _)| range);
        let (first, last) = text.split_once('-')?;
        Self::new(number(first)?, number(last)?)
    }
}

impl fmt::Display for Range {
    /// Writes the form of uploads, `0-99`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The part of some content that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// From an offset to the end, `bytes=100-`.
    From(u64),
    /// Exactly this, `bytes=0-99`.
    Within(Range),
    /// So many bytes at the end, `bytes=-100`.
    Last(u64),
    /// A last byte before the first one, `bytes=99-0`: invalid, and a server may say so.
    Backwards(u64, u64),
}

impl Wanted {
    /// Reads the value of `Range`. `None` for other units, for several ranges, and for what is
    /// malformed: a server may ignore those and send everything (RFC 9110 section 14.2).
    pub fn parse(text: &str) -> Option<Self> {
        let set = strip_unit(text.trim())?.trim_start().strip_prefix('=')?.trim();
        match set.split_once('-')? {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if last < first => Some(Self::Backwards(first, last)),
                (first, last) => Range::new(first, last).map(Self::Within),
            },
        }
    }

    /// What that is in content of `size` bytes; `None` when nothing of it is there (416).
    pub fn within(self, size: u64) -> Option<Range> {
        let end = size.checked_sub(1)?;
        match self {
            Self::From(first) => Range::new(first, end),
            Self::Within(range) => Range::new(range.first, range.last.min(end)),
            Self::Last(0) | Self::Backwards(..) => None,
            Self::Last(count) => Range::new(size.saturating_sub(count), end),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Within(range) => write!(f, "bytes={range}"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
            Self::Backwards(first, last) => write!(f, "bytes={first}-{last}"),
        }
    }
}

/// What an answer holds of some content: `Content-Range` of a 206 or a 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The bytes of this answer; absent in a 416.
    pub range: Option<Range>,
    /// Size of the whole content in bytes, where the server says it.
    pub total: Option<u64>,
}

impl Served {
    /// Reads `bytes 0-99/100`, `bytes 0-99/*` and `bytes */100`; `None` for anything else, and for
    /// a range that passes the total.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = strip_unit(text.trim())?.strip_prefix(' ')?;
        let (range, total) = rest.trim_start().split_once('/')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let range = match range {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                Some(Range::new(number(first)?, number(last)?)?)
            }
        };
        match (range, total) {
            (None, None) => None,
            (Some(range), Some(total)) if range.last >= total => None,
            _ => Some(Self { range, total }),
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Some(range) => write!(f, "bytes {range}/")?,
            None => f.write_str("bytes */")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

fn strip_unit(text: &str) -> Option<&str> {
    let (unit, rest) = text.split_at_checked("bytes".len())?;
    unit.eq_ignore_ascii_case("bytes").then_some(rest)
}

/// Digits alone: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> Range {
        Range::new(first, last).unwrap()
    }

    #[test]
    fn a_range_is_never_empty_and_its_length_fits() {
        assert_eq!(Range::new(1, 0), None);
        assert_eq!(Range::new(0, u64::MAX), None);
        assert_eq!(Range::of(5, 0), None);
        assert_eq!(Range::of(u64::MAX, 2), None);
        assert_eq!(Range::of(5, 3), Some(range(5, 7)));
        assert_eq!((range(5, 7).len(), range(5, 7).end()), (3, 8));
        assert_eq!(range(0, u64::MAX - 1).len(), u64::MAX);
    }

    #[test]
    fn the_forms_of_uploads_are_read() {
        let cases = [
            ("0-99", Some(range(0, 99))),
            (" bytes=0-99", Some(range(0, 99))),
            ("bytes 10-99/100", Some(range(10, 99))),
            ("Bytes 10-99/*", Some(range(10, 99))),
            ("0-0", Some(range(0, 0))),
            ("0--1", None),
            ("5-4", None),
            ("+1-2", None),
            ("0-18446744073709551615", None),
            ("99", None),
            ("a-b", None),
            ("-", None),
            ("", None),
            ("bytés", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(Range::parse(text), wanted, "{text}");
        }
        assert_eq!(range(3, 9).to_string(), "3-9");
    }

    #[test]
    fn what_a_request_wants_is_read_and_written() {
        let cases = [
            ("bytes=100-", Some(Wanted::From(100))),
            ("bytes=0-99", Some(Wanted::Within(range(0, 99)))),
            ("bytes=-5", Some(Wanted::Last(5))),
            ("bytes=0-1,4-5", None),
            ("bytes=9-1", Some(Wanted::Backwards(9, 1))),
            ("bytes=-", None),
            ("bytes=", None),
            ("lines=1-2", None),
            ("0-99", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(Wanted::parse(text), wanted, "{text}");
            if let Some(wanted) = wanted {
                assert_eq!(wanted.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_wanted_is_cut_to_what_is_there() {
        let cases = [
            (Wanted::From(0), 10, Some(range(0, 9))),
            (Wanted::From(9), 10, Some(range(9, 9))),
            (Wanted::From(10), 10, None),
            (Wanted::Within(range(5, 99)), 10, Some(range(5, 9))),
            (Wanted::Within(range(10, 11)), 10, None),
            (Wanted::Last(3), 10, Some(range(7, 9))),
            (Wanted::Last(30), 10, Some(range(0, 9))),
            (Wanted::Last(0), 10, None),
            (Wanted::Backwards(5, 0), 10, None),
            (Wanted::From(0), 0, None),
            (Wanted::Last(1), 0, None),
        ];
        for (wanted, size, there) in cases {
            assert_eq!(wanted.within(size), there, "{wanted} of {size}");
        }
    }

    #[test]
    fn what_an_answer_holds_is_read_and_written() {
        let served = |range, total| Some(Served { range, total });
        let cases = [
            ("bytes 0-99/100", served(Some(range(0, 99)), Some(100))),
            ("bytes 0-99/*", served(Some(range(0, 99)), None)),
            ("bytes */100", served(None, Some(100))),
            ("bytes */*", None),
            ("bytes 0-100/100", None),
            ("bytes 0-99", None),
            ("bytes=0-99/100", None),
            ("0-99/100", None),
            ("bytes 9-1/100", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(Served::parse(text), wanted, "{text}");
            if let Some(wanted) = wanted {
                assert_eq!(wanted.to_string(), text);
            }
        }
    }
}
