//! `--chmod`: modes in octal, or as changes to what a file has.

/// A mode that ADD and COPY give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// All bits, set-user-id and its like included.
    Octal(u32),
    /// Changes, as `chmod` takes them: `u+x,go=r`.
    Symbolic(String),
}

/// A text is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no mode: modes are octal up to 7777, or changes like u+x,go=r")]
pub struct ModeError {
    /// The text.
    pub text: String,
}

/// Most bits that a mode has.
const ALL_BITS: u32 = 0o7777;

/// Reads the value of `--chmod`.
///
/// # Errors
/// Where it is neither octal up to 7777 nor a list of changes.
///
/// ```
/// use corten_dockerfile::{FileMode, parse_chmod};
///
/// assert_eq!(parse_chmod("4755"), Ok(FileMode::Octal(0o4755)));
/// assert_eq!(parse_chmod("u+x,g-w"), Ok(FileMode::Symbolic("u+x,g-w".to_owned())));
/// assert!(parse_chmod("10000").is_err() && parse_chmod("64a").is_err());
/// ```
pub fn parse_chmod(text: &str) -> Result<FileMode, ModeError> {
    let wrong = || ModeError { text: text.to_owned() };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= ALL_BITS);
        return bits.map(FileMode::Octal).ok_or_else(wrong);
    }
    let is_symbolic = text.split(',').all(is_change);
    is_symbolic.then(|| FileMode::Symbolic(text.to_owned())).ok_or_else(wrong)
}

/// Whose, then one or more of what is done with which bits.
fn is_change(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['u', 'g', 'o', 'a']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(['+', '-', '=']) else { return false };
        rest = after.trim_start_matches(['r', 'w', 'x', 'X', 's', 't', 'u', 'g', 'o']);
    }
    true
}
