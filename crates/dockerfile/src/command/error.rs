//! Why an instruction cannot be understood.

use crate::flag::FlagError;
use crate::keyword::Keyword;
use crate::mount::MountError;
use crate::position::Span;

use super::health::DurationError;

/// Why an instruction cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstructionError {
    /// There is no such instruction.
    #[error("there is no instruction `{name}`")]
    Unknown {
        /// What is written.
        name: String,
        /// The instruction that may be meant.
        suggestion: Option<String>,
        /// Its place.
        span: Span,
    },
    /// It has too few or too many arguments, or in another form.
    #[error("{keyword} takes {takes}")]
    Arguments {
        /// The instruction.
        keyword: Keyword,
        /// What it takes.
        takes: &'static str,
        /// Its place.
        span: Span,
    },
    /// A flag is wrong.
    #[error("{keyword} has a flag that it cannot have")]
    Flag {
        /// The instruction.
        keyword: Keyword,
        /// What is wrong with the flag.
        source: FlagError,
    },
    /// A flag's value is none of those that there are.
    #[error("--{flag} cannot be `{value}`, only {choices}")]
    Choice {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        choices: &'static str,
        /// Its place.
        span: Span,
    },
    /// A key is empty.
    #[error("{keyword} has an empty name")]
    BlankName {
        /// The instruction.
        keyword: Keyword,
        /// Its place.
        span: Span,
    },
    /// A stage's name has a form that names cannot have.
    #[error(
        "`{name}` cannot name a stage: a name begins with a letter and has letters, digits, `-`, `_` and `.`"
    )]
    StageName {
        /// The name.
        name: String,
        /// Its place.
        span: Span,
    },
    /// An instruction of a stage stands before the first FROM.
    #[error("{keyword} stands before the first FROM, where only ARG may")]
    NoStage {
        /// The instruction.
        keyword: Keyword,
        /// Its place.
        span: Span,
    },
    /// A here-document is where something is written to.
    #[error("{keyword} cannot write to a here-document")]
    HeredocDestination {
        /// The instruction.
        keyword: Keyword,
        /// The here-document.
        span: Span,
    },
    /// ONBUILD keeps an instruction that cannot be kept.
    #[error("ONBUILD cannot keep {trigger}")]
    Trigger {
        /// The instruction that it keeps.
        trigger: Keyword,
        /// Its place.
        span: Span,
    },
    /// A span of time of HEALTHCHECK is none.
    #[error("--{flag} is no length of time")]
    Duration {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        source: DurationError,
        /// Its place.
        span: Span,
    },
    /// `--retries` of HEALTHCHECK is no count.
    #[error("--retries cannot be `{value}`, only a number from 0 on")]
    Retries {
        /// Its value.
        value: String,
        /// Its place.
        span: Span,
    },
    /// A `--mount` or `--device` of RUN is wrong.
    #[error("`{text}` cannot be mounted")]
    Mount {
        /// The flag's value.
        text: String,
        /// What is wrong with it.
        source: Box<MountError>,
        /// Its place.
        span: Span,
    },
}

impl InstructionError {
    /// Where in the text it is.
    pub fn span(&self) -> Span {
        match self {
            Self::Flag { source, .. } => source.span(),
            Self::Unknown { span, .. }
            | Self::Arguments { span, .. }
            | Self::Choice { span, .. }
            | Self::BlankName { span, .. }
            | Self::StageName { span, .. }
            | Self::NoStage { span, .. }
            | Self::HeredocDestination { span, .. }
            | Self::Trigger { span, .. }
            | Self::Duration { span, .. }
            | Self::Retries { span, .. }
            | Self::Mount { span, .. } => *span,
        }
    }

    /// What may be meant instead.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Unknown { suggestion, .. } => suggestion.as_deref(),
            Self::Flag { source, .. } => source.suggestion(),
            _ => None,
        }
    }
}
