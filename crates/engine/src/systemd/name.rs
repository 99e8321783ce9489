//! What a scope is called, and where it stands.

use super::Whose;
use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// The most bytes of the name of a unit (`UNIT_NAME_MAX` of systemd).
const LONGEST: usize = 255;

/// A scope that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The name of the unit.
    pub(crate) unit: String,
    /// The slice it is in.
    pub(crate) slice: String,
    /// What people read.
    pub(crate) description: String,
}

impl Scope {
    /// Reads `cgroupsPath` in the form of systemd, `slice:prefix:name`; without one the scope has the name of the
    /// container.
    pub(crate) fn of(path: Option<&Path>, id: &str, owner: Whose) -> Result<Scope> {
        let text = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let refused = |why: &str| Error::Unsupported {
            what: format!("linux.cgroupsPath {text} with groups of systemd: {why}"),
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (slice, prefix, name) = match parts.as_slice() {
            [""] => ("", "corten", id),
            [slice, prefix, name] => (*slice, *prefix, *name),
            _ => return Err(refused("not of the form slice:prefix:name")),
        };
        let slice = match (slice, owner) {
            ("", Whose::Machine) => "system.slice",
            ("", Whose::User) => "user.slice",
            (named, _) => named,
        };
        if name.is_empty() || name.ends_with(".slice") {
            return Err(refused("not the name of a scope"));
        }
        if !slice.ends_with(".slice") || slice.contains('/') {
            return Err(refused("not a slice"));
        }
        let joined = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
        let unit = format!("{}.scope", escaped(&joined));
        if unit.len() > LONGEST {
            return Err(refused("longer than the name of a unit may be"));
        }
        Ok(Scope { unit, slice: slice.to_owned(), description: format!("container {id}") })
    }
}

/// What the name of a unit may not have, as systemd writes it there.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, letter| {
        if letter.is_ascii_alphanumeric() || ":-_.\\".contains(letter) {
            plain.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string does not fail.
                let _ = write!(plain, "\\x{byte:02x}");
            }
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, owner: Whose) -> std::result::Result<(String, String), String> {
        Scope::of(Some(Path::new(path)), "one", owner)
            .map(|scope| (scope.unit, scope.slice))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_form_of_systemd_names_a_scope_and_its_slice() {
        let is = |unit: &str, slice: &str| Ok((unit.to_owned(), slice.to_owned()));
        let (machine, user) = (Whose::Machine, Whose::User);
        assert_eq!(told("machine.slice:libpod:a", machine), is("libpod-a.scope", "machine.slice"));
        assert_eq!(told(":runc:a", machine), is("runc-a.scope", "system.slice"));
        assert_eq!(told(":runc:a", user), is("runc-a.scope", "user.slice"));
        assert_eq!(told("", user), is("corten-one.scope", "user.slice"));
        assert_eq!(told("a.slice::b", machine), is("b.scope", "a.slice"));
        assert_eq!(told("a.slice:x:b+c", machine), is("x-b\\x2bc.scope", "a.slice"));
    }

    #[test]
    fn what_names_no_scope_is_refused() {
        for (path, why) in [
            ("/a/b", "not of the form"),
            ("a:b", "not of the form"),
            ("a.slice:b:", "not the name"),
            ("a.slice:b:c.slice", "not the name"),
            ("a:b:c", "not a slice"),
            ("../a.slice:b:c", "not a slice"),
            (&format!("a.slice:b:{}", "c".repeat(250)), "longer"),
        ] {
            let told = told(path, Whose::Machine).unwrap_err();
            assert!(told.contains(why) && told.contains("linux.cgroupsPath"), "{told}");
        }
    }
}
