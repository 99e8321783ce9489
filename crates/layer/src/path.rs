//! Paths inside a layer: bytes, relative to the root of the tree, in canonical order.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::LayerRule;

/// A path below the root of a tree: components joined by single slashes, none of them empty, `.`
/// or `..`; the root itself is empty. Any other bytes are allowed but NUL.
///
/// The order is that of a walk which lists each directory before what is in it, and what is in it
/// by the bytes of the names.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises the name of an entry: leading slashes, `.` components and a trailing slash are
    /// dropped, as every engine does; `..` and NUL are refused.
    pub fn parse(name: &[u8]) -> Result<Self, LayerRule> {
        if name.contains(&0) {
            return Err(LayerRule::NulInName);
        }
        let mut path = Vec::with_capacity(name.len());
        for component in name.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(LayerRule::ParentPath),
                _ => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(component);
                }
            }
        }
        Ok(Self(path))
    }

    /// The bytes, without a leading or trailing slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as a path of the operating system.
    pub fn to_path_buf(&self) -> PathBuf {
        Path::new(OsStr::from_bytes(&self.0)).to_path_buf()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this path, and the name in it; `None` for the root.
    pub fn split(&self) -> Option<(TreePath, &[u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => {
                let (parent, name) = self.0.split_at_checked(slash)?;
                Some((Self(parent.to_vec()), name.get(1..)?))
            }
            None => Some((Self::root(), &self.0)),
        }
    }

    /// The bytes of the directory that holds this path; `None` for the root.
    pub(crate) fn parent_bytes(&self) -> Option<&[u8]> {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => self.0.get(..slash),
            None => (!self.is_root()).then_some(&[]),
        }
    }

    /// The path of `name` in this directory. `name` is one component.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }

    /// Whether `self` lies below `directory`; the directory itself does not.
    pub fn is_below(&self, directory: &TreePath) -> bool {
        if directory.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// The directories above this path, the root first.
    pub fn ancestors(&self) -> impl Iterator<Item = TreePath> + '_ {
        let root = (!self.is_root()).then(Self::root);
        let slashes = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let above = slashes.filter_map(|(at, _)| self.0.get(..at)).map(|part| Self(part.to_vec()));
        root.into_iter().chain(above)
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // Paths in one directory have much in common: what is equal is passed over in words.
        let (left, right) = (self.0.chunks_exact(8), other.0.chunks_exact(8));
        let equal = left.zip(right).take_while(|(left, right)| left == right).count() * 8;
        let left = self.0.get(equal..).unwrap_or_default();
        let right = other.0.get(equal..).unwrap_or_default();
        // NUL occurs in no path, so a slash read as NUL sorts before every byte of a name.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        left.iter().map(key).cmp(right.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", Shown(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Bytes of a name made fit for a message: control characters and invalid UTF-8 are escaped, so
/// that a hostile name cannot write to a terminal.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

/// Most bytes of a name that a message repeats.
const SHOWN: usize = 512;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.0.get(..SHOWN).unwrap_or(self.0);
        for chunk in head.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_default())?;
                } else {
                    write!(f, "{letter}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if head.len() < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_normalised() {
        for name in ["etc/ssl", "./etc/ssl", "/etc/ssl", "etc//ssl/", "./etc/./ssl/."] {
            assert_eq!(path(name).as_bytes(), b"etc/ssl", "{name}");
        }
        for name in ["", ".", "./", "/", "//"] {
            assert!(path(name).is_root(), "{name}");
        }
        assert_eq!(TreePath::parse(b"a/../b"), Err(LayerRule::ParentPath));
        assert_eq!(TreePath::parse(b"a\0b"), Err(LayerRule::NulInName));
    }

    #[test]
    fn the_order_is_that_of_a_sorted_walk() {
        let mut paths = ["a.b", "a/x", "a", "a-b", "", "a/x/y", "b"].map(path);
        paths.sort();
        assert_eq!(paths.map(|p| p.to_string()).join(" "), "/ /a /a/x /a/x/y /a-b /a.b /b");
    }

    #[test]
    fn a_path_knows_what_is_above_it() {
        let above: Vec<_> = path("a/b/c").ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["/", "/a", "/a/b"]);
        assert!(path("a/b").is_below(&path("a")) && path("a").is_below(&path("")));
        assert!(!path("ab").is_below(&path("a")) && !path("a").is_below(&path("a")));
        assert_eq!(path("a/b").split(), Some((path("a"), b"b".as_slice())));
    }

    #[test]
    fn hostile_names_are_escaped_in_messages() {
        assert_eq!(Shown(b"a\x1b[2J\n\xff").to_string(), "a\\u{1b}[2J\\n\\xff");
    }
}
