//! `.dockerignore`: which files of a context are left out.

use super::{PathPattern, PatternError, clean_path};

/// Largest `.dockerignore`, in bytes.
pub const MAX_IGNORE_FILE: usize = 1 << 20;

/// Most patterns that a `.dockerignore` has.
pub const MAX_IGNORE_PATTERNS: usize = 10_000;

/// The patterns of a `.dockerignore`, in order. The last one that matches a path or a directory above
/// it decides; those with `!` let it in again.
///
/// ```
/// use corten_dockerfile::IgnoreFile;
///
/// let ignore = IgnoreFile::parse(b"# built\ntarget\n*.md\n!README.md\n")?;
/// assert!(ignore.excludes("target/debug/x") && ignore.excludes("NOTES.md"));
/// assert!(!ignore.excludes("README.md") && !ignore.excludes("docs/NOTES.md"));
/// # Ok::<(), corten_dockerfile::PatternError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreFile {
    rules: Vec<IgnoreRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct IgnoreRule {
    pattern: PathPattern,
    /// Whether it lets in again what others leave out.
    is_exception: bool,
}

/// Which patterns match a directory or one above it, so that what is below need not ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentMatches {
    matched: Vec<bool>,
}

impl IgnoreFile {
    /// Reads a `.dockerignore`. A `#` at the very beginning of a line makes it a comment.
    ///
    /// # Errors
    /// What stands in [`PatternError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PatternError> {
        if bytes.len() > MAX_IGNORE_FILE {
            return Err(PatternError::TooLarge { size: bytes.len() });
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut file = Self::default();
        for (number, line) in text.lines().enumerate() {
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (is_exception, pattern) = match pattern.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, pattern),
            };
            let clean = clean_path(pattern);
            if pattern.is_empty() || (is_exception && clean == "/") {
                return Err(PatternError::Exception { line: number + 1 });
            }
            let relative = clean.strip_prefix('/').filter(|rest| !rest.is_empty());
            file.push(relative.unwrap_or(&clean), is_exception)?;
        }
        Ok(file)
    }

    /// The patterns of `--exclude`, each as a line of the file would be but for comments and slashes
    /// at the beginning.
    ///
    /// # Errors
    /// What stands in [`PatternError`].
    pub fn from_patterns<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PatternError> {
        let mut file = Self::default();
        for (number, pattern) in patterns.into_iter().enumerate() {
            let pattern = pattern.trim();
            if pattern.is_empty() {
                continue;
            }
            let pattern = clean_path(pattern);
            match pattern.strip_prefix('!') {
                Some("") => return Err(PatternError::Exception { line: number + 1 }),
                Some(rest) => file.push(rest, true)?,
                None => file.push(&pattern, false)?,
            }
        }
        Ok(file)
    }

    fn push(&mut self, pattern: &str, is_exception: bool) -> Result<(), PatternError> {
        if self.rules.len() >= MAX_IGNORE_PATTERNS {
            return Err(PatternError::TooMany);
        }
        self.rules.push(IgnoreRule { pattern: PathPattern::parse(pattern)?, is_exception });
        Ok(())
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether anything is let in again.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_exception)
    }

    /// The patterns that leave out, without those that let in.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| !rule.is_exception).map(|rule| rule.pattern.text())
    }

    /// Whether the file or directory at `path`, which is clean and relative, is left out.
    pub fn excludes(&self, path: &str) -> bool {
        let parents = parents(path);
        let mut excluded = false;
        for rule in &self.rules {
            // Only a rule of the other kind changes anything.
            if rule.is_exception == excluded {
                let matches = |path: &str| rule.pattern.matches(path);
                if matches(path) || parents.iter().any(|parent| matches(parent)) {
                    excluded = !rule.is_exception;
                }
            }
        }
        excluded
    }

    /// The same for a walk from the root down, with what is known of the directory that `path` is in:
    /// nothing for the root's own entries.
    ///
    /// ```
    /// use corten_dockerfile::{IgnoreFile, ParentMatches};
    ///
    /// let ignore = IgnoreFile::parse(b"a\n!a/b").unwrap();
    /// let (excluded, a) = ignore.excludes_below("a", &ParentMatches::default());
    /// assert!(excluded && ignore.may_let_in_below("a"));
    /// assert!(!ignore.excludes_below("a/b", &a).0);
    /// assert!(ignore.excludes_below("a/c", &a).0);
    /// ```
    pub fn excludes_below(&self, path: &str, parent: &ParentMatches) -> (bool, ParentMatches) {
        let mut excluded = false;
        let mut known = ParentMatches { matched: Vec::with_capacity(self.rules.len()) };
        let above = if parent.matched.is_empty() { parents(path) } else { Vec::new() };
        for (number, rule) in self.rules.iter().enumerate() {
            let mut matched = parent.matched.get(number).copied().unwrap_or_default();
            if !matched && rule.is_exception == excluded {
                matched = rule.pattern.matches(path)
                    || above.iter().any(|parent| rule.pattern.matches(parent));
            }
            known.matched.push(matched);
            if matched {
                excluded = !rule.is_exception;
            }
        }
        (excluded, known)
    }

    /// Whether something below the directory `path`, which is left out, may be let in again, so that
    /// it must be walked all the same.
    pub fn may_let_in_below(&self, path: &str) -> bool {
        self.rules.iter().filter(|rule| rule.is_exception).any(|rule| {
            let text = rule.pattern.text();
            let fixed = text.find(['*', '?', '[', '\\']).and_then(|at| text.get(..at));
            match fixed {
                // As far as the pattern is a path, it must lead here or on from here.
                Some(fixed) => {
                    let below = format!("{path}/");
                    below.starts_with(fixed) || fixed.starts_with(&below)
                }
                None => text.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')),
            }
        })
    }
}

/// The directories above a path, from the top.
fn parents(path: &str) -> Vec<&str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter(|p| !p.is_empty()).collect()
}
