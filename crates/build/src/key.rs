//! The name under which a step's result is kept: equal names, equal layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What decides the result of a step, as one number: what it does, what it does it with, and the contents below
/// it. Never times, never secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(String);

impl CacheKey {
    /// As hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a key of fields. Each field is framed by its length, so that no two lists of fields are the same bytes.
///
/// ```
/// use corten_build::KeyHasher;
///
/// let key = |fields: &[&str]| fields.iter().fold(KeyHasher::new("a"), |key, field| key.field(field)).finish();
/// assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
/// assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
/// ```
#[derive(Clone)]
pub struct KeyHasher {
    hasher: blake3::Hasher,
    inputs: Vec<KeyInput>,
}

/// One thing that a key was made of, to be held against the same thing of another key: what it is called and what
/// it was, shortened. It is told to people and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInput {
    /// What it is: `variable VERSION`, `file src/a.c`.
    pub name: String,
    /// Part of its digest.
    pub digest: String,
    /// What it was, where that is short and no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Longest text of an input that is kept, in bytes.
const MAX_TEXT: usize = 200;
/// How many digits of its digest are kept.
const DIGITS: usize = 16;
/// How many of what may be a secret: enough to see a change, too few to find the value by trying.
const FEW_DIGITS: usize = 4;

impl KeyInput {
    /// An input that is known by its digest alone.
    pub(crate) fn of_bytes(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        let digest = blake3::hash(bytes.as_ref()).to_hex();
        let digest = digest.get(..DIGITS).unwrap_or_default().to_owned();
        Self { name: name.into(), digest, text: None }
    }

    /// An input that may be shown, but for passwords and queries of addresses in it.
    pub(crate) fn of_text(name: impl Into<String>, text: &str) -> Self {
        let mut input = Self::of_bytes(name, text);
        let shown = crate::address::redacted(text);
        if shown != text {
            input.digest.truncate(FEW_DIGITS);
        }
        input.text = (shown.len() <= MAX_TEXT).then_some(shown);
        input
    }

    /// A variable: one whose name is that of a secret is never shown.
    pub(crate) fn of_variable(name: &str, value: &str) -> Self {
        let called = format!("variable {name}");
        if corten_dockerfile::names_a_secret(name) {
            let mut input = Self::of_bytes(called, value);
            input.digest.truncate(FEW_DIGITS);
            return input;
        }
        Self::of_text(called, value)
    }
}

/// Part of every key: changes when the bytes that steps give do.
const VERSION: &str = "corten-build 2";

impl KeyHasher {
    /// For a step of a kind.
    pub fn new(kind: &str) -> Self {
        Self { hasher: blake3::Hasher::new(), inputs: Vec::new() }.field(VERSION).field(kind)
    }

    /// Adds a field that is told by its name.
    #[must_use]
    pub(crate) fn named(self, name: &str, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let mut key = self.field(text);
        key.inputs.push(KeyInput::of_text(name, text));
        key
    }

    /// Tells of what was added, or will be.
    #[must_use]
    pub(crate) fn telling(mut self, inputs: impl IntoIterator<Item = KeyInput>) -> Self {
        self.inputs.extend(inputs);
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.add(bytes);
        self
    }

    /// The same, in place.
    pub fn add(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    /// Adds a list, framed by how many there are.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        self.add((items.len() as u64).to_le_bytes());
        items.iter().for_each(|item| self.add(item));
        self
    }

    /// The key.
    pub fn finish(self) -> CacheKey {
        CacheKey(self.hasher.finalize().to_hex().to_string())
    }

    /// The same, with what it was made of.
    pub(crate) fn told(self) -> (CacheKey, Vec<KeyInput>) {
        (CacheKey(self.hasher.finalize().to_hex().to_string()), self.inputs)
    }
}
