//! Who a container is: an id of 64 hexadecimal digits, and a name.

use crate::error::{Doing, Result, RunError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name.
pub const MAX_NAME: usize = 128;
const ID_BYTES: usize = 32;

/// The id of a container: 64 lower-case hexadecimal digits, random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// A new id from the system's random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; ID_BYTES];
        let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .doing(|| "ask for random numbers".to_owned())?;
        if got != ID_BYTES {
            let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(short).doing(|| "ask for random numbers".to_owned());
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The id that `text` spells in full, or `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == ID_BYTES * 2 && digits).then(|| Self(text.to_owned()))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as lists show them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no container id"))
    }
}

/// Checks that `name` is `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, of at most [`MAX_NAME`] bytes, and no full id,
/// which would shadow a container.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && name.len() <= MAX_NAME && ContainerId::parse(name).is_none() {
        return Ok(());
    }
    Err(RunError::BadName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ_and_parse() {
        let (one, two) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(ContainerId::parse(one.as_str()), Some(one));
    }

    #[test]
    fn names_that_could_be_paths_or_options_are_refused() {
        for bad in
            ["", ".", "..", "-a", "a/b", "_a", "a b", "é", "a\n", &"a".repeat(129), &"a".repeat(64)]
        {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "web-1", "A.b_c", "0"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
