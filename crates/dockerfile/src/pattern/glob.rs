//! One pattern: Go's own, and the one with `**`.

use super::PatternError;
use super::machine::{self, Token};

/// A pattern as Go's `filepath.Match` has them, for one name or a path of as many parts as it has.
///
/// ```
/// use corten_dockerfile::Glob;
///
/// let glob = Glob::parse("src/*.[ch]")?;
/// assert!(glob.matches("src/main.c"));
/// assert!(!glob.matches("src/sub/main.c"));
/// # Ok::<(), corten_dockerfile::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where a bracket, a range or an escape is not complete.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        Ok(Self { tokens: tokens(pattern, Stars::One)? })
    }

    /// Whether all of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        machine::matches(&self.tokens, name)
    }

    /// Whether a text has anything in it that makes it more than a path.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }
}

/// A pattern in which `**` stands for any number of directories, as `.dockerignore`, `--exclude` and
/// `COPY --parents` have them. It is matched with whole paths that are clean and relative.
///
/// ```
/// use corten_dockerfile::PathPattern;
///
/// let pattern = PathPattern::parse("**/*.o")?;
/// assert!(pattern.matches("main.o") && pattern.matches("a/b/main.o"));
/// # Ok::<(), corten_dockerfile::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    form: Form,
}

/// What a pattern is, besides a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// One path.
    Exact,
    /// What begins with this: `dir/**`.
    Prefix(String),
    /// What ends with this: `**/name`, and `**name`.
    Suffix(String),
    Tokens(Vec<Token>),
}

impl PathPattern {
    /// Reads a pattern that is clean.
    ///
    /// # Errors
    /// Where a bracket, a range or an escape is not complete.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        Ok(Self { text: pattern.to_owned(), form: form(pattern)? })
    }

    /// Whether all of `path` matches.
    pub fn matches(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact => path == self.text,
            Form::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Form::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Form::Tokens(tokens) => machine::matches(tokens, path),
        }
    }

    /// The pattern.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn form(pattern: &str) -> Result<Form, PatternError> {
    // Malformed is what Go's own patterns would be, `**` being two of `*`.
    let checked = tokens(pattern, Stars::One)?;
    let is_plain = |text: &str| !Glob::is_pattern(text) && !text.contains(']');
    if is_plain(pattern) {
        return Ok(Form::Exact);
    }
    if let Some(rest) = pattern.strip_prefix("**") {
        if is_plain(rest) {
            return Ok(Form::Suffix(rest.to_owned()));
        }
    } else if let Some(rest) = pattern.strip_suffix("**").filter(|rest| is_plain(rest)) {
        return Ok(Form::Prefix(rest.to_owned()));
    }
    if !pattern.contains("**") && !checked.contains(&Token::Exactly('^')) {
        return Ok(Form::Tokens(checked));
    }
    tokens(pattern, Stars::Two).map(Form::Tokens)
}

/// How many `*` mean something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stars {
    One,
    Two,
}

fn tokens(pattern: &str, stars: Stars) -> Result<Vec<Token>, PatternError> {
    let malformed = || PatternError::Malformed { pattern: pattern.to_owned() };
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' if stars == Stars::Two && rest.as_str().starts_with('*') => {
                rest.next();
                // Which directories, or none: the slash behind belongs to them.
                if rest.as_str().starts_with('/') {
                    rest.next();
                }
                if rest.as_str().is_empty() {
                    tokens.push(Token::Deep);
                } else {
                    tokens.extend([Token::Perhaps, Token::Directories]);
                }
            }
            '*' => tokens.push(Token::Many),
            '?' => tokens.push(Token::One),
            '[' => tokens.push(class(&mut rest).ok_or_else(malformed)?),
            '\\' => tokens.push(Token::Exactly(rest.next().ok_or_else(malformed)?)),
            // Where `**` is known, patterns are regular expressions, in which this is the beginning.
            '^' if stars == Stars::Two => tokens.push(Token::Start),
            _ => tokens.push(Token::Exactly(c)),
        }
    }
    Ok(tokens)
}

/// What follows a `[`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || !rest.as_str().starts_with(']') {
        let first = member(rest)?;
        let mut last = first;
        if rest.as_str().starts_with('-') {
            rest.next();
            last = member(rest)?;
        }
        (first <= last).then(|| ranges.push((first, last)))?;
    }
    rest.next();
    Some(Token::Class { negated, ranges })
}

fn member(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stars_cross_directories() {
        let matches =
            |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().matches(path);
        assert!(matches("a/**/b", "a/b") && matches("a/**/b", "a/x/y/b"));
        assert!(!matches("a/**/b", "a/xb"));
        assert!(matches("a/**", "a/b/c") && !matches("a/**", "a"));
        assert!(matches("**/a?c/**", "x/abc/y") && matches("**", "anything/at/all"));
        assert!(!matches("^a*", "^ab") && matches("^a", "^a"));
    }
}
