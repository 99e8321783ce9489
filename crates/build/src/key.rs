//! The name under which a step's result is kept: equal names, equal layers.

use std::fmt;

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
pub struct KeyHasher(blake3::Hasher);

/// Part of every key: changes when the bytes that steps give do.
const VERSION: &str = "corten-build 1";

impl KeyHasher {
    /// For a step of a kind.
    pub fn new(kind: &str) -> Self {
        Self(blake3::Hasher::new()).field(VERSION).field(kind)
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
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
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
        CacheKey(self.0.finalize().to_hex().to_string())
    }
}
