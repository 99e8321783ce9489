//! The rules that are checked, each with a stable identifier: one table, from which the reference
//! in the documentation is generated.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Level, Profile};

/// What a [`Code`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The stable identifier, in kebab case.
    pub id: &'static str,
    /// How grave a breach is under [`Profile::Spec`].
    pub level: Level,
    /// The document and section that the rule rests on; of the image specification where no other
    /// specification is named.
    pub section: &'static str,
    /// What is wrong where the code is found, in one sentence.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $level:ident, $section:literal, $text:literal;)*) => {
        /// A rule, by its stable identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $text] $name,)* }

        impl Code {
            pub(super) const ALL_CODES: &'static [Code] = &[$(Code::$name,)*];

            /// What the code stands for.
            pub fn rule(self) -> &'static Rule {
                match self {
                    $(Code::$name => const { &Rule {
                        id: $id,
                        level: Level::$level,
                        section: $section,
                        explanation: $text,
                    } },)*
                }
            }
        }
    };
}
pub(super) use codes;

use super::table::Code;

impl Code {
    /// Every code, in the order of the table.
    pub fn all() -> &'static [Code] {
        Self::ALL_CODES
    }

    /// The stable identifier.
    pub fn as_str(self) -> &'static str {
        self.rule().id
    }

    /// The code with this identifier.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::all().iter().copied().find(|code| code.as_str() == id)
    }

    /// How grave a breach is under `profile`: strict readers take a SHOULD for a MUST.
    pub fn level(self, profile: Profile) -> Level {
        match (self.rule().level, profile) {
            (Level::Warning, Profile::Strict) => Level::Error,
            (level, _) => level,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::from_id(&id)
            .ok_or_else(|| serde::de::Error::custom(format_args!("'{id}' is no finding's code")))
    }
}
