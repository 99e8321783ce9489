//! The checks by name.

use std::fmt;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::upper_case_acronyms)] // The names are those that files speak of.
pub enum Check {
    /// A stage's name is in lower case.
    StageNameCasing,
    /// `AS` is written in the case of `FROM`.
    FromAsCasing,
    /// No line within an instruction is empty.
    NoEmptyContinuation,
    /// All instructions are written in one case.
    ConsistentInstructionCasing,
    /// No two stages have one name.
    DuplicateStageName,
    /// No stage has a name that means something else.
    ReservedStageName,
    /// CMD and ENTRYPOINT are arrays, so that signals reach the program.
    JSONArgsRecommended,
    /// An author is a label.
    MaintainerDeprecated,
    /// FROM uses variables that are declared before it.
    UndefinedArgInFrom,
    /// The first working directory is absolute.
    WorkdirRelativePath,
    /// Variables are set before they are used.
    UndefinedVar,
    /// What only counts once stands only once.
    MultipleInstructionsDisallowed,
    /// Keys are put apart from values by `=`.
    LegacyKeyValueFormat,
    /// The base is of the platform that is built for.
    InvalidBaseImagePlatform,
    /// The platform that is built for need not be named.
    RedundantTargetPlatform,
    /// Secrets are neither arguments nor variables, which images keep.
    SecretsUsedInArgOrEnv,
    /// The base has a name also where no argument is given.
    InvalidDefaultArgInFrom,
    /// A stage's platform is no constant.
    FromPlatformFlagConstDisallowed,
    /// What is copied is not left out of the context.
    CopyIgnoredFile,
    /// A comment above ARG or FROM says what its name is.
    InvalidDefinitionDescription,
    /// Protocols are in lower case.
    ExposeProtoCasing,
    /// EXPOSE has ports of the container alone.
    ExposeInvalidFormat,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 22] = [
        Self::StageNameCasing,
        Self::FromAsCasing,
        Self::NoEmptyContinuation,
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ReservedStageName,
        Self::JSONArgsRecommended,
        Self::MaintainerDeprecated,
        Self::UndefinedArgInFrom,
        Self::WorkdirRelativePath,
        Self::UndefinedVar,
        Self::MultipleInstructionsDisallowed,
        Self::LegacyKeyValueFormat,
        Self::InvalidBaseImagePlatform,
        Self::RedundantTargetPlatform,
        Self::SecretsUsedInArgOrEnv,
        Self::InvalidDefaultArgInFrom,
        Self::FromPlatformFlagConstDisallowed,
        Self::CopyIgnoredFile,
        Self::InvalidDefinitionDescription,
        Self::ExposeProtoCasing,
        Self::ExposeInvalidFormat,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::StageNameCasing => "StageNameCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ReservedStageName => "ReservedStageName",
            Self::JSONArgsRecommended => "JSONArgsRecommended",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
            Self::UndefinedVar => "UndefinedVar",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::InvalidBaseImagePlatform => "InvalidBaseImagePlatform",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::CopyIgnoredFile => "CopyIgnoredFile",
            Self::InvalidDefinitionDescription => "InvalidDefinitionDescription",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
        }
    }

    /// What it asks for, in a sentence.
    pub fn summary(self) -> &'static str {
        match self {
            Self::StageNameCasing => "the name of a stage is in lower case",
            Self::FromAsCasing => "AS is written in the case of FROM",
            Self::NoEmptyContinuation => "no line within an instruction is empty",
            Self::ConsistentInstructionCasing => "all instructions are written in one case",
            Self::DuplicateStageName => "no two stages have one name",
            Self::ReservedStageName => "no stage has a name that means something else",
            Self::JSONArgsRecommended => "CMD and ENTRYPOINT are arrays, so that signals arrive",
            Self::MaintainerDeprecated => "an author is a label, not MAINTAINER",
            Self::UndefinedArgInFrom => "FROM uses only arguments that are declared before it",
            Self::WorkdirRelativePath => "the first WORKDIR of a file is absolute",
            Self::UndefinedVar => "variables are set before they are used",
            Self::MultipleInstructionsDisallowed => "what counts only once stands only once",
            Self::LegacyKeyValueFormat => "keys are put apart from values by =",
            Self::InvalidBaseImagePlatform => "a base is of the platform that is built for",
            Self::RedundantTargetPlatform => "the platform that is built for goes without saying",
            Self::SecretsUsedInArgOrEnv => "secrets are mounts, neither ARG nor ENV",
            Self::InvalidDefaultArgInFrom => "a base has a name without any build argument",
            Self::FromPlatformFlagConstDisallowed => "the platform of a stage is no constant",
            Self::CopyIgnoredFile => "what is copied is not left out of the context",
            Self::InvalidDefinitionDescription => {
                "a comment above ARG or FROM begins with its name"
            }
            Self::ExposeProtoCasing => "protocols are in lower case",
            Self::ExposeInvalidFormat => "EXPOSE has ports of the container alone",
        }
    }

    /// Whether it runs only where a file asks for it.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
