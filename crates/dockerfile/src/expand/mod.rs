//! Substitution: variables, quotes and escapes in the words of instructions.
//!
//! The rules are a shell's, with differences that `BuildKit` has made the language's: an unset
//! variable is empty, white space that comes from a variable parts words only where words are asked
//! for, and an escape before the end falls away.

mod lexer;
mod pattern;

use std::collections::BTreeSet;

use lexer::Lexer;

/// Deepest nesting of `${a:-${b:-…}}`.
pub const MAX_NESTING: usize = 64;

/// Longest text that substitution makes of one word, in bytes.
pub const MAX_EXPANSION: usize = 1 << 20;

/// Most variables that a stage has.
pub const MAX_VARIABLES: usize = 4096;

/// Most bytes that the variables of a stage have with their names. No program can be given more.
pub const MAX_ENVIRONMENT: usize = 1 << 20;

/// Most bytes that substitution makes of one instruction.
pub const MAX_INSTRUCTION: usize = 16 << 20;

/// Most steps that matching one pattern of `${name#pattern}` and its like may take.
pub const MAX_PATTERN_STEPS: usize = 16 << 20;

/// Variables by name: the port through which substitution looks them up.
pub trait Variables {
    /// The value of a variable; none where it is unset, which is not the same as empty.
    fn value(&self, name: &str) -> Option<&str>;

    /// The names of all that are set, for suggestions.
    fn names(&self) -> Vec<&str>;
}

/// Pairs in order; a later one of the same name hides an earlier one.
impl<K: AsRef<str>, V: AsRef<str>> Variables for [(K, V)] {
    fn value(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(key, _)| key.as_ref() == name).map(|(_, value)| value.as_ref())
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|(key, _)| key.as_ref()).collect()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Variables for Vec<(K, V)> {
    fn value(&self, name: &str) -> Option<&str> {
        self.as_slice().value(name)
    }

    fn names(&self) -> Vec<&str> {
        self.as_slice().names()
    }
}

/// What becomes of a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// It is empty.
    Empty,
    /// It stays as it is written.
    Keep,
}

/// A word with its variables replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The word.
    pub text: String,
    /// The variables in it that are set.
    pub matched: BTreeSet<String>,
    /// The variables in it that are not.
    pub unmatched: BTreeSet<String>,
}

/// Why a word cannot be substituted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote is not closed.
    #[error("the quote {quote} is not closed in `{word}`")]
    OpenQuote {
        /// Which quote.
        quote: char,
        /// The word.
        word: String,
    },
    /// A `${` is not closed.
    #[error("a substitution is not closed by `{close}` in `{word}`")]
    OpenSubstitution {
        /// What would close it.
        close: char,
        /// The word.
        word: String,
    },
    /// A `${` is not followed by a name.
    #[error("a substitution without a name in `{word}`")]
    NoName {
        /// The word.
        word: String,
    },
    /// What follows the name is nothing that can.
    #[error("the substitution of `{name}` has the unknown modifier `{modifier}`")]
    Modifier {
        /// The variable.
        name: String,
        /// The modifier.
        modifier: String,
    },
    /// `${name?message}` and the variable is not set, or empty where that matters.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the file says about it, or what it lacks.
        message: String,
    },
    /// A pattern with an escape that escapes nothing.
    #[error("the pattern `{pattern}` has an escape that escapes nothing")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// Matching takes too long.
    #[error("the pattern `{pattern}` takes over {MAX_PATTERN_STEPS} steps to match")]
    Costly {
        /// The pattern.
        pattern: String,
    },
    /// Substitutions within substitutions without end.
    #[error("substitutions nest deeper than {MAX_NESTING}")]
    TooDeep,
    /// The result is too long.
    #[error("substitution makes more than {MAX_EXPANSION} bytes of one word")]
    TooLong,
    /// There are too many variables, or they are too long.
    #[error("there are over {MAX_VARIABLES} variables, or over {MAX_ENVIRONMENT} bytes of them")]
    TooMany,
}

/// How words are substituted.
///
/// ```
/// use corten_dockerfile::Expander;
///
/// let variables = [("TAG", "13"), ("EMPTY", "")];
/// let expanded = Expander::new('\\').word("debian:${TAG}${EMPTY:--slim}$X", &variables[..])?;
/// assert_eq!(expanded.text, "debian:13-slim");
/// assert_eq!(expanded.unmatched.into_iter().collect::<Vec<_>>(), ["X"]);
/// # Ok::<(), corten_dockerfile::ExpandError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Expander {
    escape: char,
    unset: Unset,
    keeps_quotes: bool,
    keeps_escapes: bool,
    reads_quotes: bool,
}

impl Expander {
    /// With the file's escape character.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            unset: Unset::Empty,
            keeps_quotes: false,
            keeps_escapes: false,
            reads_quotes: true,
        }
    }

    /// For the bodies of here-documents, in which quotes are characters like others and `\` escapes
    /// whatever the file says.
    pub fn heredoc() -> Self {
        Self { reads_quotes: false, ..Self::new('\\') }
    }

    /// With another rule for variables that are not set.
    #[must_use]
    pub fn unset(self, unset: Unset) -> Self {
        Self { unset, ..self }
    }

    /// With quotes left in what they quote.
    #[must_use]
    pub fn raw_quotes(self) -> Self {
        Self { keeps_quotes: true, ..self }
    }

    /// With escapes left before what they escape.
    #[must_use]
    pub fn raw_escapes(self) -> Self {
        Self { keeps_escapes: true, ..self }
    }

    /// The word with its variables replaced and its quotes and escapes taken away.
    ///
    /// # Errors
    /// What stands in [`ExpandError`].
    pub fn word(
        &self,
        word: &str,
        variables: &(impl Variables + ?Sized),
    ) -> Result<Expanded, ExpandError> {
        let mut lexer = Lexer::new(*self, word, &variables);
        let text = lexer.run()?.text;
        Ok(Expanded { text, matched: lexer.matched, unmatched: lexer.unmatched })
    }

    /// The same, parted into words at white space that is not quoted: also at the white space that
    /// comes from variables.
    ///
    /// # Errors
    /// What stands in [`ExpandError`].
    pub fn words(
        &self,
        text: &str,
        variables: &(impl Variables + ?Sized),
    ) -> Result<Vec<String>, ExpandError> {
        Ok(Lexer::new(*self, text, &variables).run()?.into_words())
    }
}

impl<T: Variables + ?Sized> Variables for &T {
    fn value(&self, name: &str) -> Option<&str> {
        (**self).value(name)
    }

    fn names(&self) -> Vec<&str> {
        (**self).names()
    }
}
