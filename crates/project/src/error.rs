//! Why a project is none.

/// Why a project cannot be read or rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// A file is larger than it may be.
    #[error("{file} is larger than {limit} bytes")]
    TooLarge {
        /// Which.
        file: String,
        /// What it may be.
        limit: usize,
    },
    /// The project file does not read as one.
    #[error("image.toml: {0}")]
    File(String),
    /// A file of attributes does not read as what its name says.
    #[error("{file}: {why}")]
    Values {
        /// Which.
        file: String,
        /// What is wrong, with its place.
        why: String,
    },
    /// A value on the command line.
    #[error("--set {text}: {why}")]
    Set {
        /// What was written.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A template cannot be rendered.
    #[error("{file}: {why}")]
    Template {
        /// Which.
        file: String,
        /// What is wrong, with its line.
        why: String,
    },
    /// An expression or a condition of a template goes deeper than it may.
    #[error("{file}: line {line}: there are over {limit} {what}")]
    TooDeep {
        /// Which.
        file: String,
        /// Where.
        line: usize,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// There are more of something than there may be.
    #[error("there are over {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}
