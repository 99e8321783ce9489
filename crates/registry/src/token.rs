//! Tokens: how a challenge and a credential become the header that a registry wants
//! (distribution token authentication; OAuth2 refresh tokens, RFC 6749 section 6).

use std::time::{Duration, Instant};

use corten_spec::Location;
use corten_store::StoreError;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::address::{follow, redacted};
use crate::answer::About;
use crate::exchange::{Ask, Pace, Redirects, Repeat};
use crate::realm::{is_named, withheld};
use crate::scopes::Scopes;
use crate::wire::{Bearer, Challenge};
use crate::{Connection, Credential, CredentialError, Secret, cause};

/// Most bytes read of the answer of a token service.
const MAX_TOKEN_ANSWER: u64 = 256 * 1024;

/// Life of a token whose service does not say (the documentation's own default).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// Longest life that is believed; a clock cannot be moved on by any number of seconds.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Tokens remembered for one host; the oldest goes first.
const MAX_TOKENS: usize = 256;

/// Name under which corten asks an OAuth2 token service.
const CLIENT_ID: &str = "corten";

/// What is known of the way into one host.
#[derive(Default)]
pub(crate) struct Access {
    challenge: Option<Challenge>,
    tokens: Vec<Token>,
    credentials: Vec<(Location, Option<Credential>)>,
    /// Why a keychain said nothing, where we went on without it.
    failure: Option<CredentialError>,
}

/// What a 401 teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// It has no challenge that could be met.
    Nothing,
    /// The same challenge as before: a token may have run out.
    Nought,
    /// Another challenge, or more scopes.
    More,
}

/// A token, what it is good for and until when.
struct Token {
    location: Location,
    scopes: Scopes,
    header: HeaderValue,
    renew: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    /// Seconds; some services write something else.
    expires_in: Option<serde_json::Value>,
}

/// Who asks where: the host as it was named, its root, and the location that the credential is
/// looked up for.
pub(crate) struct Asking<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) home: &'a Url,
    pub(crate) location: &'a Location,
}

impl Access {
    /// Takes note of a 401 that answered a request sent with `used`. `scopes` grows by what the
    /// registry says it wants.
    pub(crate) fn refused(
        &mut self,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
        scopes: &mut Scopes,
    ) -> Learned {
        let values = headers.get_all(WWW_AUTHENTICATE);
        let mut offered = Challenge::parse(values.iter().filter_map(|value| value.to_str().ok()));
        // The stronger one where both are offered.
        offered.sort_by_key(|challenge| !matches!(challenge, Challenge::Bearer(_)));
        let Some(first) = offered.into_iter().find(|c| !matches!(c, Challenge::Other(_))) else {
            return Learned::Nothing;
        };
        let before = scopes.clone();
        if let Challenge::Bearer(Bearer { scope: Some(text), .. }) = &first {
            *scopes = scopes.clone().and(&Scopes::parse(text));
        }
        // What made one token worthless, time or a revocation, has met the others as well: the next
        // try must go with a fresh one. A token that was replaced meanwhile says nothing of its heirs.
        if used.is_some_and(|used| self.tokens.iter().any(|token| token.header == *used)) {
            self.tokens.clear();
        }
        let known = self.challenge.as_ref().is_some_and(|old| same_way(old, &first));
        self.challenge = Some(first);
        if known && used.is_some() && before == *scopes { Learned::Nought } else { Learned::More }
    }

    /// Whether the way in is a password sent with each request.
    pub(crate) fn is_basic(&self) -> bool {
        matches!(self.challenge, Some(Challenge::Basic { .. }))
    }

    /// The next request gets a fresh token.
    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Why a keychain said nothing, if that is why a request went without a credential.
    pub(crate) fn failure(&mut self) -> Option<CredentialError> {
        self.failure.take()
    }

    /// The header for a request that needs `scopes`; `None` while no challenge is known, or where
    /// there is no credential for a host that wants a password.
    pub(crate) async fn header(
        &mut self,
        asking: &Asking<'_>,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let Some(challenge) = self.challenge.clone() else {
            return Ok(None);
        };
        let now = Instant::now();
        self.tokens.retain(|token| token.renew > now);
        let fits = |token: &&Token| token.location == *asking.location;
        let mut tokens = self.tokens.iter().filter(fits);
        if let Some(token) = tokens.find(|token| token.scopes.covers(scopes)) {
            return Ok(Some(token.header.clone()));
        }
        let credential = self.credential(asking, scopes).await?;
        match (challenge, credential) {
            (_, Some(Credential::RegistryToken(token))) => {
                sensitive(format!("Bearer {}", token.reveal()), asking).map(Some)
            }
            (Challenge::Bearer(bearer), credential) => {
                let realm = realm(asking, &bearer)?;
                let credential = self.shown(asking, &realm, scopes, credential)?;
                let given = request(asking, (&realm, &bearer), scopes, credential.as_ref()).await;
                if let Err(StoreError::Denied { .. }) = given
                    && let Some(failure) = self.failure()
                {
                    return Err(denied(asking, failure));
                }
                let (header, life) = given?;
                self.keep(asking.location, scopes, &header, now + renewal(life));
                Ok(Some(header))
            }
            (_, Some(credential @ Credential::Password { .. })) => {
                if let Some(error) = withheld(asking, asking.home, Some(&credential)) {
                    return Err(denied(asking, error));
                }
                let Credential::Password { username, password } = credential else {
                    return Ok(None);
                };
                basic(&username, &password, asking).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn keep(&mut self, location: &Location, scopes: &Scopes, header: &HeaderValue, renew: Instant) {
        if self.tokens.len() >= MAX_TOKENS {
            self.tokens.remove(0);
        }
        let (location, scopes) = (location.clone(), scopes.clone());
        self.tokens.push(Token { location, scopes, header: header.clone(), renew });
    }

    /// The credential as far as the token service at `realm` may see it. What anybody may read is asked for
    /// without one; a login, which proves the credential, and a write are not.
    fn shown(
        &mut self,
        asking: &Asking<'_>,
        realm: &Url,
        scopes: &Scopes,
        credential: Option<Credential>,
    ) -> Result<Option<Credential>, StoreError> {
        match withheld(asking, realm, credential.as_ref()) {
            None => Ok(credential),
            Some(error) if scopes.only_read() && *scopes != Scopes::none() => {
                self.failure = Some(error);
                Ok(None)
            }
            Some(error) => Err(denied(asking, error)),
        }
    }

    async fn credential(
        &mut self,
        asking: &Asking<'_>,
        scopes: &Scopes,
    ) -> Result<Option<Credential>, StoreError> {
        if let Some((_, known)) = self.credentials.iter().find(|(l, _)| l == asking.location) {
            return Ok(known.clone());
        }
        let found = match asking.connection.keychain.credential(asking.location).await {
            Ok(found) => found,
            // A broken keychain does not stand in the way of what anybody may read.
            Err(error) if scopes.only_read() && !self.is_basic() => {
                self.failure = Some(error);
                return Ok(None);
            }
            Err(error) => return Err(denied(asking, error)),
        };
        self.credentials.push((asking.location.clone(), found.clone()));
        Ok(found)
    }
}

/// When a token with so long a life is renewed: a little early, so that it does not run out on the
/// way.
fn renewal(life: Duration) -> Duration {
    let life = life.min(LONGEST_LIFE);
    life.saturating_sub((life / 4).min(Duration::from_secs(15)))
}

fn same_way(one: &Challenge, other: &Challenge) -> bool {
    match (one, other) {
        (Challenge::Basic { .. }, Challenge::Basic { .. }) => true,
        (Challenge::Bearer(a), Challenge::Bearer(b)) => {
            a.realm == b.realm && a.service == b.service
        }
        _ => false,
    }
}

pub(crate) fn denied(asking: &Asking<'_>, error: CredentialError) -> StoreError {
    let place = asking.location.host.clone();
    StoreError::Denied { place, action: "access".to_owned(), source: Some(error.into()) }
}

/// The address of the token service that `bearer` names.
fn realm(asking: &Asking<'_>, bearer: &Bearer) -> Result<Url, StoreError> {
    follow(asking.home, asking.home, &bearer.realm).map_err(|error| StoreError::Malformed {
        object: "its token service".to_owned(),
        place: asking.location.host.clone(),
        source: error.into(),
    })
}

/// Asks the token service of `bearer` at `realm`; the header and the life of what it gave.
async fn request(
    asking: &Asking<'_>,
    (realm, bearer): (&Url, &Bearer),
    scopes: &Scopes,
    credential: Option<&Credential>,
) -> Result<(HeaderValue, Duration), StoreError> {
    let place = asking.location.host.clone();
    let malformed = |source| StoreError::Malformed {
        object: "its token service".to_owned(),
        place: place.clone(),
        source,
    };
    let ask = ask_for(asking, realm.clone(), (bearer, scopes), credential)?;
    // Where nobody named it, it is but a host that the registry leads to: it is shown no certificate either.
    let home = if is_named(asking, realm) { realm } else { asking.home };
    let answer = asking.connection.attempt_token(home, &ask).await?.success().await;
    let answer = answer.map_err(|error| refused(error, asking))?;
    let body = answer.body("the answer of a token service", MAX_TOKEN_ANSWER).await?;
    let answer: TokenAnswer =
        serde_json::from_slice(&body).map_err(|error| malformed(error.into()))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| malformed(cause("it gave no token")))?;
    let life = answer.expires_in.and_then(|seconds| seconds.as_u64());
    let life = life.map_or(DEFAULT_LIFE, Duration::from_secs);
    Ok((sensitive(format!("Bearer {token}"), asking)?, life))
}

/// The request for a token, with the credential in the place its kind has.
fn ask_for(
    asking: &Asking<'_>,
    realm: Url,
    (bearer, scopes): (&Bearer, &Scopes),
    credential: Option<&Credential>,
) -> Result<Ask, StoreError> {
    let mut ask = Ask {
        method: Method::GET,
        url: realm.clone(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        repeat: Repeat::Always,
        pace: Pace::Usual,
        redirects: Redirects::WithinOrigin,
        about: About {
            place: asking.location.host.clone(),
            object: redacted(&realm),
            action: format!("a token for {}", asking.location.repository),
        },
    };
    ask.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    match credential {
        Some(Credential::IdentityToken(token)) => refresh(&mut ask, token, bearer, scopes),
        Some(Credential::Password { username, password }) => {
            let header = basic(username, password, asking)?;
            ask.headers.insert(AUTHORIZATION, header);
            query(&mut ask.url, Some(username), bearer, scopes);
        }
        _ => query(&mut ask.url, None, bearer, scopes),
    }
    Ok(ask)
}

/// A token service says 400 or 404 too where it means that it gives no token.
fn refused(error: StoreError, asking: &Asking<'_>) -> StoreError {
    match error {
        StoreError::Refused { source, .. } | StoreError::Malformed { source, .. } => {
            StoreError::Denied {
                place: asking.location.host.clone(),
                action: format!("a token for {}", asking.location.repository),
                source: Some(source),
            }
        }
        other => other,
    }
}

fn query(url: &mut Url, account: Option<&str>, bearer: &Bearer, scopes: &Scopes) {
    let mut pairs = url.query_pairs_mut();
    if let Some(account) = account {
        pairs.append_pair("account", account);
    }
    if let Some(service) = &bearer.service {
        pairs.append_pair("service", service);
    }
    for scope in scopes.iter() {
        pairs.append_pair("scope", &scope.to_string());
    }
}

fn refresh(ask: &mut Ask, token: &Secret, bearer: &Bearer, scopes: &Scopes) {
    // The pairs of a form are written as those of a query are.
    let mut form = ask.url.clone();
    form.set_query(None);
    let mut pairs = form.query_pairs_mut();
    pairs.append_pair("grant_type", "refresh_token");
    pairs.append_pair("refresh_token", token.reveal());
    pairs.append_pair("client_id", CLIENT_ID);
    pairs.append_pair("service", bearer.service.as_deref().unwrap_or_default());
    if scopes.iter().next().is_some() {
        pairs.append_pair("scope", &scopes.to_string());
    }
    drop(pairs);
    ask.method = Method::POST;
    ask.body = form.query().unwrap_or_default().to_owned().into();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    ask.headers.insert(CONTENT_TYPE, kind);
}

fn basic(
    username: &str,
    password: &Secret,
    asking: &Asking<'_>,
) -> Result<HeaderValue, StoreError> {
    use base64::Engine as _;
    let pair = format!("{username}:{}", password.reveal());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    sensitive(format!("Basic {encoded}"), asking)
}

fn sensitive(text: String, asking: &Asking<'_>) -> Result<HeaderValue, StoreError> {
    let mut header = HeaderValue::try_from(text).map_err(|_| StoreError::Malformed {
        object: "a token or credential".to_owned(),
        place: asking.location.host.clone(),
        source: cause("it holds characters that no header can carry"),
    })?;
    header.set_sensitive(true);
    Ok(header)
}
