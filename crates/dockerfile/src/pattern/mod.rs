//! Patterns of paths: those of `.dockerignore`, and those of COPY and ADD.
//!
//! Both are Go's `filepath.Match`: `*` and `?` do not cross a `/`, brackets hold characters and
//! ranges, `\` escapes. [`PathPattern`] has `**` besides, which crosses any number of directories.
//! Neither is what git ignores files by: a pattern without a `/` stands for the root alone, and a `/`
//! at the end means nothing.

mod glob;
mod ignore;
mod machine;

pub use glob::{Glob, PathPattern};
pub use ignore::{IgnoreFile, MAX_IGNORE_FILE, MAX_IGNORE_PATTERNS, ParentMatches};

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A bracket, a range or an escape has no end, or a range ends before it begins.
    #[error("the pattern `{pattern}` has a bracket, a range or an escape that is not complete")]
    Malformed {
        /// The pattern.
        pattern: String,
    },
    /// An exception from nothing.
    #[error("line {line}: the exception `!` has no pattern")]
    Exception {
        /// The line, from 1.
        line: usize,
    },
    /// There are too many patterns.
    #[error("there are over {MAX_IGNORE_PATTERNS} patterns")]
    TooMany,
    /// The file is too large.
    #[error("the ignore file has {size} bytes, over the limit of {MAX_IGNORE_FILE}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

/// A path without `.`, `..`, double and trailing slashes, as Go's `filepath.Clean` leaves it.
///
/// ```
/// use corten_dockerfile::clean_path;
///
/// assert_eq!(clean_path("a//b/../c/."), "a/c");
/// assert_eq!(clean_path("/../x/"), "/x");
/// assert_eq!(clean_path(""), ".");
/// ```
pub fn clean_path(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => {
                    parts.pop();
                }
                _ if is_absolute => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    match (is_absolute, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}
