//! `# check=`: which checks run, and whether advice is an error.

use std::collections::BTreeSet;

use super::Check;
use crate::directive::{self, DirectiveName};
use crate::mount::parse_truth;

/// Which checks run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// No check runs that is not experimental.
    pub skip_all: bool,
    /// The checks that do not run, by name.
    pub skip: BTreeSet<String>,
    /// All experimental checks run.
    pub experimental_all: bool,
    /// The experimental checks that run, by name.
    pub experimental: BTreeSet<String>,
    /// Advice is an error.
    pub is_strict: bool,
}

/// Why a text says nothing of checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` says nothing of checks: there are skip=, experimental= and error=")]
pub struct CheckOptionsError {
    /// The part that says nothing.
    pub part: String,
}

impl CheckOptions {
    /// Reads `skip=A,B;experimental=C;error=true`, or with `all` in place of names.
    ///
    /// # Errors
    /// Where a part has another key, no value, or a value of `error` that is neither true nor false.
    ///
    /// ```
    /// use corten_dockerfile::{Check, CheckOptions};
    ///
    /// let options = CheckOptions::parse("skip=UndefinedVar;error=true")?;
    /// assert!(options.skips(Check::UndefinedVar) && options.is_strict);
    /// # Ok::<(), corten_dockerfile::CheckOptionsError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, CheckOptionsError> {
        let mut options = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let wrong = || CheckOptionsError { part: part.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            let value = value.trim();
            let names = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match (key.trim(), value) {
                ("skip", "all") => options.skip_all = true,
                ("skip", _) => options.skip = names(),
                ("experimental", "all") => options.experimental_all = true,
                ("experimental", _) => options.experimental = names(),
                ("error", _) => options.is_strict = parse_truth(value).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        Ok(options)
    }

    /// Those of a file's own directive, as far as its first word goes.
    pub(crate) fn of_file(source: &str) -> Result<Self, CheckOptionsError> {
        let found = directive::find(source, DirectiveName::Check);
        found.map_or_else(|| Ok(Self::default()), |found| Self::parse(first_word(&found.value)))
    }

    /// Whether a check does not run.
    pub fn skips(&self, check: Check) -> bool {
        self.skip_all || self.skip.contains(check.name())
    }

    /// Whether an experimental check runs.
    pub fn tries(&self, check: Check) -> bool {
        self.experimental_all || self.experimental.contains(check.name())
    }
}

/// What the comments above an instruction say of its checks: the first that does.
pub(super) fn in_comments(comments: &[String]) -> Option<CheckOptions> {
    let value = comments.iter().find_map(|comment| directive::check_in_comment(comment))?;
    CheckOptions::parse(first_word(value)).ok()
}

fn first_word(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_first_word_is_a_remark() {
        let options = CheckOptions::of_file("# check=skip=all // why\nFROM a").unwrap();
        assert!(options.skips(Check::UndefinedVar));
        let own = in_comments(&["a remark".to_owned(), "check = skip=UndefinedVar".to_owned()]);
        assert!(own.unwrap().skips(Check::UndefinedVar));
        for wrong in ["skip", "error=maybe", "skips=a", "skip=a;"] {
            assert!(CheckOptions::parse(wrong).is_err(), "{wrong}");
        }
    }
}
