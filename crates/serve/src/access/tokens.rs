//! Tokens: a service that gives them out, and access by them (distribution's token
//! documentation).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use corten_registry::wire::{Bearer, Challenge, Scope};

use super::{Access, Asked, Credentials, Denial, Principal, Roster};

/// Most tokens kept; the oldest go first.
const MAX_TOKENS: usize = 16 * 1024;

/// Gives out tokens to those on the roster. Tokens are random words that mean something
/// only here, for as long as the service lives.
pub struct TokenService {
    roster: Roster,
    /// Name that tokens are asked for, and that challenges name.
    service: String,
    /// URL of the token endpoint; `/token` on the host of the request where there is none.
    realm: Option<String>,
    lifetime: Duration,
    issued: Mutex<Issued>,
    random: Random,
}

#[derive(Default)]
struct Issued {
    access: HashMap<String, Token>,
    refresh: HashMap<String, Principal>,
}

#[derive(Clone)]
struct Token {
    principal: Principal,
    scopes: Vec<Scope>,
    expires: Instant,
}

/// A token just made.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) token: String,
    pub(crate) lifetime: Duration,
    pub(crate) scopes: Vec<Scope>,
}

impl TokenService {
    /// A service whose tokens live for five minutes.
    pub fn new(service: &str, roster: Roster) -> Self {
        Self {
            roster,
            service: service.to_owned(),
            realm: None,
            lifetime: Duration::from_secs(300),
            issued: Mutex::default(),
            random: Random::default(),
        }
    }

    /// The same with another lifetime of tokens.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The same with challenges that point to another URL.
    #[must_use]
    pub fn with_realm(self, realm: &str) -> Self {
        Self { realm: Some(realm.to_owned()), ..self }
    }

    /// Makes every access token given out so far void; refresh tokens stay.
    pub fn revoke(&self) {
        self.issued().access.clear();
    }

    pub(crate) fn verify(&self, user: &str, password: &str) -> Option<Principal> {
        self.roster.verify(user, password)
    }

    /// A token for what `principal` may do of `scopes`.
    pub(crate) fn issue(&self, principal: &Principal, scopes: &[Scope]) -> Fresh {
        let allowed = scopes.iter().map(|scope| self.roster.allowed(principal, scope));
        let scopes: Vec<Scope> = allowed.filter(|scope| !scope.actions.is_empty()).collect();
        let token = self.random.word();
        let expires = Instant::now() + self.lifetime;
        let made = Token { principal: principal.clone(), scopes: scopes.clone(), expires };
        let mut issued = self.issued();
        if issued.access.len() >= MAX_TOKENS {
            let now = Instant::now();
            issued.access.retain(|_, token| token.expires > now);
        }
        if issued.access.len() < MAX_TOKENS {
            issued.access.insert(token.clone(), made);
        }
        Fresh { token, lifetime: self.lifetime, scopes }
    }

    /// A refresh token of a user.
    pub(crate) fn issue_refresh(&self, principal: &Principal) -> String {
        let word = self.random.word();
        let mut issued = self.issued();
        if issued.refresh.len() < MAX_TOKENS {
            issued.refresh.insert(word.clone(), principal.clone());
        }
        word
    }

    /// Whose refresh token it is.
    pub(crate) fn refreshed(&self, word: &str) -> Option<Principal> {
        self.issued().refresh.get(word).cloned()
    }

    fn find(&self, word: &str) -> Option<Token> {
        let found = self.issued().access.get(word).cloned()?;
        (found.expires > Instant::now()).then_some(found)
    }

    fn challenge(&self, asked: &Asked<'_>, error: Option<&str>) -> Denial {
        let realm = match &self.realm {
            Some(realm) => realm.clone(),
            None => format!("http://{}/token", asked.host),
        };
        Denial::Unauthenticated(vec![Challenge::Bearer(Bearer {
            realm,
            service: Some(self.service.clone()),
            scope: asked.scope.map(Scope::to_string),
            error: error.map(str::to_owned),
        })])
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        // Every change under the lock is one insertion or removal, whole in itself.
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService").field("service", &self.service).finish_non_exhaustive()
    }
}

/// Access by tokens of a service.
#[derive(Clone, Debug)]
pub struct Tokens(pub Arc<TokenService>);

#[async_trait]
impl Access for Tokens {
    async fn authorize(&self, asked: Asked<'_>) -> Result<Principal, Denial> {
        let token = match asked.credentials {
            Credentials::Bearer(word) => match self.0.find(word) {
                Some(token) => token,
                None => return Err(self.0.challenge(&asked, Some("invalid_token"))),
            },
            _ => return Err(self.0.challenge(&asked, None)),
        };
        let reaches = |wanted| token.scopes.iter().any(|scope| scope.covers(wanted));
        if asked.scope.is_none_or(reaches) {
            return Ok(token.principal);
        }
        Err(self.0.challenge(&asked, Some("insufficient_scope")))
    }
}

/// Words that cannot be guessed: SipHash under keys the operating system made at random, of a
/// counter that never repeats.
#[derive(Default)]
pub(crate) struct Random {
    keys: [RandomState; 2],
    counter: AtomicU64,
}

impl Random {
    /// 32 hex digits.
    pub(crate) fn word(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let [first, second] = &self.keys;
        format!("{:016x}{:016x}", first.hash_one(count), second.hash_one(count))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grant;
    use super::*;

    fn service() -> TokenService {
        let ann = Principal::User("ann".to_owned());
        let roster = Roster::new().with_user("ann", "one").with_grant(Grant::new(
            ann,
            "team",
            &["pull", "push"],
        ));
        TokenService::new("registry.example.com", roster)
    }

    async fn ask(tokens: &Tokens, word: &str, scope: &str) -> Result<Principal, Denial> {
        let credentials = Credentials::Bearer(word.to_owned());
        let scope = Scope::parse(scope).unwrap();
        let host = "127.0.0.1:5000";
        let asked = Asked { credentials: &credentials, host, scope: Some(&scope) };
        tokens.authorize(asked).await
    }

    fn error(answer: Result<Principal, Denial>) -> (String, String) {
        let Err(Denial::Unauthenticated(challenges)) = answer else { panic!("{answer:?}") };
        let [Challenge::Bearer(bearer)] = challenges.as_slice() else { panic!("{challenges:?}") };
        (bearer.realm.clone(), bearer.error.clone().unwrap_or_default())
    }

    #[tokio::test]
    async fn a_token_reaches_as_far_as_its_grants() {
        let tokens = Tokens(Arc::new(service()));
        let ann = tokens.0.verify("ann", "one").unwrap();
        let asked = Scope::parse_list("repository:team/a:delete,pull repository:other:pull");
        let fresh = tokens.0.issue(&ann, &asked);
        assert_eq!(fresh.scopes, Scope::parse_list("repository:team/a:pull"));
        assert_eq!(ask(&tokens, &fresh.token, "repository:team/a:pull").await, Ok(ann));
        let push = ask(&tokens, &fresh.token, "repository:team/a:pull,push").await;
        assert_eq!(error(push).1, "insufficient_scope");
        let unknown = error(ask(&tokens, "x", "repository:team/a:pull").await);
        let realm = "http://127.0.0.1:5000/token".to_owned();
        assert_eq!(unknown, (realm, "invalid_token".to_owned()));
        tokens.0.revoke();
        let revoked = ask(&tokens, &fresh.token, "repository:team/a:pull").await;
        assert_eq!(error(revoked).1, "invalid_token");
    }

    #[tokio::test]
    async fn a_token_ends_with_its_lifetime() {
        let tokens = Tokens(Arc::new(service().with_lifetime(Duration::ZERO)));
        let fresh = tokens.0.issue(&Principal::Anonymous, &[]);
        let answer = ask(&tokens, &fresh.token, "repository:team/a:pull").await;
        assert_eq!(error(answer).1, "invalid_token");
    }

    #[test]
    fn words_do_not_repeat() {
        let random = Random::default();
        let words: std::collections::BTreeSet<String> = (0..1000).map(|_| random.word()).collect();
        assert_eq!(words.len(), 1000);
        assert_ne!(random.word(), Random::default().word());
    }
}
