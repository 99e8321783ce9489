//! Scopes of tokens: what may be done with what (distribution, token scope documentation).

use std::collections::BTreeSet;
use std::fmt;

use super::Repository;

/// Longest scope parameter read, in bytes; it may hold several scopes.
pub const MAX_SCOPE: usize = 8 * 1024;

/// One scope, `repository:team/app:pull,push` or `registry:catalog:*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Type of the resource, `repository` nearly always; it may carry a class in parentheses.
    pub kind: String,
    /// Name of the resource; a host with a port may stand before it.
    pub name: String,
    /// What is asked for, in order of their names: `delete`, `pull`, `push`, `*`.
    pub actions: BTreeSet<String>,
}

impl Scope {
    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        Self::of(repository, &["pull"])
    }

    /// Reading and writing a repository.
    pub fn push(repository: &Repository) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    /// Any actions on a repository.
    pub fn of(repository: &Repository, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self { kind: "repository".to_owned(), name: repository.to_string(), actions }
    }

    /// Reads `type:name:actions`, where the name may hold colons; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_SCOPE || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        let actions = actions.split(',').filter(|action| !action.is_empty());
        let actions = actions.map(str::to_owned).collect();
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }

    /// Reads scopes separated by spaces; words that are none are left out.
    pub fn parse_list(text: &str) -> Vec<Self> {
        if text.len() > MAX_SCOPE {
            return Vec::new();
        }
        text.split(' ').filter_map(Self::parse).collect()
    }

    /// Whether a token for `self` is good for `other` too.
    pub fn covers(&self, other: &Scope) -> bool {
        let same = self.kind == other.kind && self.name == other.name;
        same && (self.actions.contains("*") || self.actions.is_superset(&other.actions))
    }

    /// Takes in the actions of `other` when both are about the same resource, and tells whether
    /// they are.
    pub fn merge(&mut self, other: &Scope) -> bool {
        let same = self.kind == other.kind && self.name == other.name;
        if same {
            self.actions.extend(other.actions.iter().cloned());
        }
        same
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.kind, self.name)?;
        for (index, action) in self.actions.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(action)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written() {
        for text in [
            "repository:team/app:pull,push",
            "registry:catalog:*",
            "repository(plugin):a/b:pull",
            "repository:host:5000/a:pull",
            "repository:a:",
        ] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Scope::parse("repository:a:push,,pull").unwrap().to_string(),
            "repository:a:pull,push"
        );
        for bad in ["", "repository", "repository:a", ":a:pull", "x::pull", "a:b:c d", "a:b\n:c"] {
            assert_eq!(Scope::parse(bad), None, "{bad}");
        }
        let listed = Scope::parse_list("repository:a:pull nonsense  repository:b:push");
        assert_eq!(listed.iter().map(|scope| scope.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(Scope::parse_list(&"repository:a:pull ".repeat(1000)).is_empty());
    }

    #[test]
    fn a_scope_covers_what_it_holds_and_grows_by_merging() {
        let app = Repository::parse("app").unwrap();
        let (mut pull, push) = (Scope::pull(&app), Scope::push(&app));
        assert!(push.covers(&pull) && !pull.covers(&push));
        assert!(Scope::of(&app, &["*"]).covers(&push));
        assert!(!push.covers(&Scope::pull(&Repository::parse("other").unwrap())));
        assert!(pull.merge(&push));
        assert_eq!(pull, push);
        assert!(!pull.merge(&Scope::parse("registry:catalog:*").unwrap()));
        assert_eq!(pull, push);
    }
}
