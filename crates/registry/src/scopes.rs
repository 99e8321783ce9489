//! What one token is asked for: scopes of several resources, merged by resource.

use std::fmt;

use crate::wire::{Repository, Scope};

/// Any number of scopes, at most one for each resource, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    /// No permission but to be known.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Reading `repository`.
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self(vec![Scope::pull(repository)])
    }

    /// Reading and writing `repository`.
    pub(crate) fn push(repository: &Repository) -> Self {
        Self(vec![Scope::push(repository)])
    }

    /// Deleting in `repository`.
    pub(crate) fn delete(repository: &Repository) -> Self {
        Self(vec![Scope::of(repository, &["delete", "pull", "push"])])
    }

    /// Listing the repositories of a host.
    pub(crate) fn catalog() -> Self {
        Self(Scope::parse_list("registry:catalog:*"))
    }

    /// Reads the parameter of a challenge.
    pub(crate) fn parse(text: &str) -> Self {
        Self::none().and(&Self(Scope::parse_list(text)))
    }

    /// Both.
    #[must_use]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for scope in &other.0 {
            if !self.0.iter_mut().any(|own| own.merge(scope)) {
                self.0.push(scope.clone());
            }
        }
        self.0.sort();
        self
    }

    /// Whether a token for these is good for `other` too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|scope| self.0.iter().any(|own| own.covers(scope)))
    }

    /// Whether nothing in here changes a registry.
    pub(crate) fn only_read(&self) -> bool {
        self.0.iter().flat_map(|scope| &scope.actions).all(|action| action == "pull")
    }

    /// Each scope, for a `scope` parameter of its own.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Scope::to_string).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        Repository::parse(text).unwrap()
    }

    #[test]
    fn scopes_of_one_repository_are_merged() {
        let asked = Scopes::parse("repository:team/app:delete,pull");
        let scopes = Scopes::push(&repository("team/app")).and(&asked);
        assert_eq!(scopes.to_string(), "repository:team/app:delete,pull,push");
    }

    #[test]
    fn a_mount_asks_for_both_repositories() {
        let (a, b) = (repository("a"), repository("b"));
        let scopes = Scopes::push(&b).and(&Scopes::pull(&a));
        assert_eq!(scopes.to_string(), "repository:a:pull repository:b:pull,push");
        assert!(scopes.covers(&Scopes::pull(&b)));
        assert!(!Scopes::pull(&b).covers(&scopes));
        assert!(!scopes.only_read());
        assert!(Scopes::pull(&b).only_read());
    }
}
