//! Flags of instructions: `--name`, `--name=value`.

use crate::position::{Span, Word};
use crate::suggest;

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagKind {
    /// `--name`, `--name=true` or `--name=false`.
    Switch,
    /// `--name=value`, once.
    Value,
    /// `--name=value`, any number of times.
    Values,
}

/// Why a flag is none of its instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlagError {
    /// The instruction has no such flag.
    #[error("there is no flag --{name}")]
    Unknown {
        /// Its name.
        name: String,
        /// The flag that may be meant.
        suggestion: Option<String>,
        /// Its place.
        span: Span,
    },
    /// It stands twice.
    #[error("the flag --{name} may stand only once")]
    Repeated {
        /// Its name.
        name: String,
        /// The second one.
        span: Span,
    },
    /// It needs a value.
    #[error("the flag --{name} needs a value")]
    NoValue {
        /// Its name.
        name: String,
        /// Its place.
        span: Span,
    },
    /// It is on or off, and the value is neither.
    #[error("the flag --{name} is true or false, not `{value}`")]
    NoSwitch {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// Its place.
        span: Span,
    },
}

impl FlagError {
    /// Where the flag stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Unknown { span, .. }
            | Self::Repeated { span, .. }
            | Self::NoValue { span, .. }
            | Self::NoSwitch { span, .. } => *span,
        }
    }

    /// The flag that may be meant.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Unknown { suggestion, .. } => suggestion.as_deref(),
            _ => None,
        }
    }
}

/// The flags of one instruction, checked against what it takes.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    values: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Checks `written` against the flags that are `known`.
    pub(crate) fn read(
        written: &[Word],
        known: &[(&'static str, FlagKind)],
    ) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        for Word { text, span } in written {
            let span = *span;
            let text = text.strip_prefix("--").unwrap_or(text);
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some((known_name, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let near = suggest::nearest(name, known.iter().map(|(known, _)| *known));
                let suggestion = near.map(str::to_owned);
                return Err(FlagError::Unknown { name: name.to_owned(), suggestion, span });
            };
            if *kind != FlagKind::Values && flags.has(known_name) {
                return Err(FlagError::Repeated { name: name.to_owned(), span });
            }
            let value = match (kind, value) {
                (FlagKind::Switch, None) => "true",
                (FlagKind::Switch, Some(value)) => switch(name, value, span)?,
                (_, Some(value)) => value,
                (_, None) => return Err(FlagError::NoValue { name: name.to_owned(), span }),
            };
            flags.values.push((known_name, Word::new(value, span)));
        }
        Ok(flags)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The flag's value, where it stands.
    pub(crate) fn value(&self, name: &str) -> Option<&Word> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The text of the flag's value, where there is one that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.text.clone()).filter(|text| !text.is_empty())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&Word> {
        self.values.iter().filter(|(known, _)| *known == name).map(|(_, value)| value).collect()
    }

    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value.text == "true")
    }
}

fn switch(name: &str, value: &str, span: Span) -> Result<&'static str, FlagError> {
    match value.to_lowercase().as_str() {
        "true" => Ok("true"),
        "false" => Ok("false"),
        "" => Err(FlagError::NoValue { name: name.to_owned(), span }),
        _ => Err(FlagError::NoSwitch { name: name.to_owned(), value: value.to_owned(), span }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, FlagKind); 3] =
        [("link", FlagKind::Switch), ("from", FlagKind::Value), ("exclude", FlagKind::Values)];

    fn read(written: &[&str]) -> Result<Flags, FlagError> {
        let words: Vec<Word> =
            written.iter().map(|text| Word::new(*text, Span::default())).collect();
        Flags::read(&words, &KNOWN)
    }

    #[test]
    fn flags_have_the_values_that_they_take() {
        let flags = read(&["--link", "--from=", "--exclude=a=b", "--exclude=c"]).unwrap();
        assert_eq!(flags.switch("link"), Some(true));
        assert!(flags.has("from") && flags.text("from").is_none());
        let excluded: Vec<&str> = flags.all("exclude").iter().map(|w| w.text.as_str()).collect();
        assert_eq!(excluded, ["a=b", "c"]);
        assert_eq!(read(&["--link=FALSE"]).unwrap().switch("link"), Some(false));
    }

    #[test]
    fn what_an_instruction_does_not_take_is_told() {
        assert_eq!(read(&["--form=a"]).unwrap_err().suggestion(), Some("from"));
        assert!(matches!(read(&["--from"]), Err(FlagError::NoValue { .. })));
        assert!(matches!(read(&["--link="]), Err(FlagError::NoValue { .. })));
        assert!(matches!(read(&["--link=1"]), Err(FlagError::NoSwitch { .. })));
        assert!(matches!(read(&["--link", "--link"]), Err(FlagError::Repeated { .. })));
    }
}
