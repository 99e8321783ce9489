//! A roster: users and what they may do, and access by password.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use corten_registry::wire::{Challenge, Scope};
use corten_spec::Digest;

use super::{Access, Asked, Credentials, Denial};

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// Anyone.
    Anonymous,
    /// Someone who proved to be this user.
    User(String),
}

/// What a principal may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who. What anyone may, every user may too.
    pub principal: Principal,
    /// Repositories whose path is this or begins with this and a slash; all of them, and the
    /// catalog, when empty.
    pub prefix: String,
    /// `pull`, `push`, `delete`, or `*` for all.
    pub actions: BTreeSet<String>,
}

impl Grant {
    /// A grant for repositories below `prefix`.
    pub fn new(principal: Principal, prefix: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self { principal, prefix: prefix.to_owned(), actions }
    }

    fn is_for(&self, principal: &Principal, scope: &Scope) -> bool {
        let who = self.principal == Principal::Anonymous || self.principal == *principal;
        let below = |path: &str| path.is_empty() || path.starts_with('/');
        let within = self.prefix.is_empty()
            || (scope.kind == "repository"
                && scope.name.strip_prefix(self.prefix.as_str()).is_some_and(below));
        who && within
    }
}

/// Users, their passwords, and grants.
#[derive(Clone, Default)]
pub struct Roster {
    passwords: BTreeMap<String, Digest>,
    grants: Vec<Grant>,
}

impl Roster {
    /// A roster of nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more user.
    #[must_use]
    pub fn with_user(mut self, user: &str, password: &str) -> Self {
        self.passwords.insert(user.to_owned(), Digest::sha256(password.as_bytes()));
        self
    }

    /// The same with one more grant.
    #[must_use]
    pub fn with_grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// The user, when the password is theirs. What is compared are digests, so that the time it
    /// takes tells nothing of the password.
    pub fn verify(&self, user: &str, password: &str) -> Option<Principal> {
        let given = Digest::sha256(password.as_bytes());
        let known = self.passwords.get(user)?;
        (*known == given).then(|| Principal::User(user.to_owned()))
    }

    /// The actions of `scope` that `principal` may do, and all of them where `*` is granted.
    pub fn allowed(&self, principal: &Principal, scope: &Scope) -> Scope {
        let grants = self.grants.iter().filter(|grant| grant.is_for(principal, scope));
        let granted: BTreeSet<&str> =
            grants.flat_map(|grant| grant.actions.iter().map(String::as_str)).collect();
        let mut allowed = scope.clone();
        if !granted.contains("*") {
            allowed.actions.retain(|action| granted.contains(action.as_str()));
        }
        allowed
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&String> = self.passwords.keys().collect();
        f.debug_struct("Roster").field("users", &users).field("grants", &self.grants).finish()
    }
}

/// Access by user and password with each request.
#[derive(Clone, Debug)]
pub struct Passwords(pub Roster);

#[async_trait]
impl Access for Passwords {
    async fn authorize(&self, asked: Asked<'_>) -> Result<Principal, Denial> {
        let challenge =
            || Denial::Unauthenticated(vec![Challenge::Basic { realm: "registry".to_owned() }]);
        let principal = match asked.credentials {
            Credentials::None => Principal::Anonymous,
            Credentials::Basic { user, password } => {
                self.0.verify(user, password).ok_or_else(challenge)?
            }
            Credentials::Bearer(_) | Credentials::Malformed => return Err(challenge()),
        };
        let allowed = match asked.scope {
            Some(scope) => self.0.allowed(&principal, scope).covers(scope),
            None => {
                let anyone = |grant: &Grant| grant.principal == Principal::Anonymous;
                principal != Principal::Anonymous || self.0.grants.iter().any(anyone)
            }
        };
        match (allowed, &principal) {
            (true, _) => Ok(principal),
            (false, Principal::Anonymous) => Err(challenge()),
            (false, Principal::User(_)) => Err(Denial::Forbidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        Roster::new()
            .with_user("ann", "one")
            .with_grant(Grant::new(Principal::Anonymous, "public", &["pull"]))
            .with_grant(Grant::new(Principal::User("ann".to_owned()), "team", &["*"]))
    }

    fn allowed(principal: &Principal, scope: &str) -> String {
        roster().allowed(principal, &Scope::parse(scope).unwrap()).to_string()
    }

    #[test]
    fn grants_reach_as_far_as_their_prefix() {
        let ann = Principal::User("ann".to_owned());
        let cases = [
            (&Principal::Anonymous, "repository:public:pull,push", "repository:public:pull"),
            (&Principal::Anonymous, "repository:public/a:pull", "repository:public/a:pull"),
            (&Principal::Anonymous, "repository:publican:pull", "repository:publican:"),
            (&Principal::Anonymous, "repository:team/a:pull", "repository:team/a:"),
            (&ann, "repository:team/a:delete,pull,push", "repository:team/a:delete,pull,push"),
            (&ann, "repository:public/a:pull,push", "repository:public/a:pull"),
            (&ann, "registry:catalog:*", "registry:catalog:"),
        ];
        for (principal, asked, granted) in cases {
            assert_eq!(allowed(principal, asked), granted, "{principal:?}");
        }
    }

    #[test]
    fn only_the_right_password_proves_a_user() {
        assert_eq!(roster().verify("ann", "one"), Some(Principal::User("ann".to_owned())));
        assert_eq!(roster().verify("ann", "two"), None);
        assert_eq!(roster().verify("bob", "one"), None);
        assert!(!format!("{:?}", roster()).contains("sha256"));
    }
}
