//! Exchanges: one request and its answer, with everything that lies between. Waiting and trying
//! again, redirects, and the rule that secrets go nowhere but to the host they were made for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corten_spec::Location;
use corten_store::{Cause, StoreError};
use futures_util::StreamExt;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::address::{follow, redacted, same_origin};
use crate::answer::{About, Answer, stalled};
use crate::connection::Host;
use crate::retry::{asked_wait, pause};
use crate::scopes::Scopes;
use crate::token::{Asking, Learned, denied};
use crate::wire::{Repository, Route};
use crate::{Connection, cause};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 8;

/// Times one request is sent again with a fresh token.
const MAX_RENEWALS: usize = 3;

/// Bytes of a body that are handed to the connection at a time.
const PIECE: usize = 128 * 1024;

/// A request whose body is at hand, so that it can be sent again.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) repeat: Repeat,
    pub(crate) pace: Pace,
    pub(crate) redirects: Redirects,
    pub(crate) about: About,
}

/// How long the answer may take once the request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As long as any silence may.
    Usual,
    /// As long as publishing a blob may.
    Publish,
}

/// Where redirects of a request may lead. One that has a body stays within its origin in any case: what was to be
/// read by one host is not carried to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// To other hosts too, without anything secret.
    Anywhere,
    /// To the origin of the request alone.
    WithinOrigin,
}

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whatever went wrong: doing it twice does no harm.
    Always,
    /// Only where the server says that it did nothing with it.
    WhenTurnedAway,
}

/// One repository as seen through a connection: where every request starts.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) connection: Arc<Connection>,
    pub(crate) host: Arc<Host>,
    pub(crate) location: Location,
    pub(crate) repository: Repository,
}

/// What became of one attempt.
enum Attempt {
    Answered(Answer),
    /// Wait, as long as the server said if it did, and try again; else this is the error.
    TurnedAway(Option<Duration>, Answer),
    Failed(StoreError),
}

impl Remote {
    /// The root of the registry's API.
    pub(crate) async fn home(&self) -> Result<Url, StoreError> {
        self.connection.base(&self.host, &self.location.host).await
    }

    /// What a request is about.
    pub(crate) fn about(&self, action: &str, object: impl ToString) -> About {
        About {
            place: self.location.to_string(),
            object: object.to_string(),
            action: format!("{action} of {}", self.location.repository),
        }
    }

    /// A request for `route`, without body.
    pub(crate) async fn ask(&self, route: &Route, about: About) -> Result<Ask, StoreError> {
        let url =
            self.home().await?.join(&route.to_path()).map_err(|source| StoreError::Malformed {
                object: about.object.clone(),
                place: about.place.clone(),
                source: source.into(),
            })?;
        Ok(Ask {
            method: method(route.method()),
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            repeat: Repeat::Always,
            pace: Pace::Usual,
            redirects: Redirects::Anywhere,
            about,
        })
    }

    /// Sends `ask` with what the registry demands for `scopes`; any answer but 401 comes back, and
    /// a 401 where nothing more can be offered.
    pub(crate) async fn send(&self, ask: &Ask, scopes: &Scopes) -> Result<Answer, StoreError> {
        let home = self.home().await?;
        let mut scopes = scopes.clone();
        let mut renewals = 0;
        loop {
            let header = match same_origin(&home, &ask.url) {
                true => self.authorization(&home, &scopes).await?,
                false => None,
            };
            let answer = self.connection.attempt(&home, &self.host, ask, header.as_ref()).await?;
            let refused = answer.status() == StatusCode::UNAUTHORIZED && answer.from_home;
            if !refused || renewals == MAX_RENEWALS {
                return Ok(answer);
            }
            let mut access = self.host.access.lock().await;
            let learned = access.refused(answer.headers(), header.as_ref(), &mut scopes);
            let again = match learned {
                Learned::Nothing => false,
                // A fresh token, or the same password, would be refused again.
                Learned::Nought => renewals == 0 && !access.is_basic(),
                Learned::More => true,
            };
            let failure = access.failure();
            drop(access);
            renewals += 1;
            if let Some(failure) = failure.filter(|_| !again) {
                let asking = self.asking(&home);
                return Err(denied(&asking, failure));
            }
            if !again || self.authorization(&home, &scopes).await?.is_none() {
                return Ok(answer);
            }
        }
    }

    fn asking<'a>(&'a self, home: &'a Url) -> Asking<'a> {
        Asking { connection: &self.connection, home, location: &self.location }
    }

    /// What to put into `Authorization`, as far as it is known by now.
    pub(crate) async fn authorization(
        &self,
        home: &Url,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let asking = self.asking(home);
        self.host.access.lock().await.header(&asking, scopes).await
    }
}

impl Connection {
    /// Sends `ask`, follows redirects, and tries again as the settings allow.
    pub(crate) async fn attempt(
        &self,
        home: &Url,
        host: &Host,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, StoreError> {
        let mut number = 1;
        loop {
            let permit = host.waiting.acquire().await;
            let attempt = self.once(home, ask, authorization).await;
            drop(permit);
            number += 1;
            let last = number > self.transport.retry.attempts;
            let wait = match attempt {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::TurnedAway(asked, answer) => {
                    let longest = self.transport.retry.longest;
                    if last || asked.is_some_and(|asked| asked > longest) {
                        return Err(answer.refusal().await);
                    }
                    asked
                }
                Attempt::Failed(error) => {
                    let again = matches!(error, StoreError::Unreachable { .. });
                    if last || !again || ask.repeat != Repeat::Always {
                        return Err(error);
                    }
                    None
                }
            };
            let pause = pause(&self.transport.retry, number);
            tokio::time::sleep(wait.unwrap_or(pause).max(Duration::from_millis(1))).await;
        }
    }

    /// Like `attempt` for a token service. It is a home of its own where it may see the credential; else `home`
    /// is the registry.
    pub(crate) async fn attempt_token(&self, home: &Url, ask: &Ask) -> Result<Answer, StoreError> {
        let host = self.host(ask.url.authority());
        let authorization = ask.headers.get(AUTHORIZATION).cloned();
        let mut ask = ask.clone();
        ask.headers.remove(AUTHORIZATION);
        self.attempt(home, &host, &ask, authorization.as_ref()).await
    }

    async fn once(&self, home: &Url, ask: &Ask, authorization: Option<&HeaderValue>) -> Attempt {
        let mut url = ask.url.clone();
        let mut method = ask.method.clone();
        for _ in 0..=MAX_REDIRECTS {
            let from_home = same_origin(home, &url);
            let mut request = self.request(home, method.clone(), url.clone(), authorization);
            request = request.headers(ask.headers.clone());
            let moved = Arc::new(AtomicU64::new(0));
            if !ask.body.is_empty() && method == ask.method {
                request = request
                    .header(CONTENT_LENGTH, ask.body.len())
                    .body(counted(ask.body.clone(), Arc::clone(&moved)));
            } else if matches!(method, Method::POST | Method::PUT | Method::PATCH) {
                request = request.header(CONTENT_LENGTH, 0);
            }
            let response = match self.head_of(request, ask.pace, &moved).await {
                Ok(response) => response,
                Err(source) => return Attempt::Failed(unreachable(&ask.about, source)),
            };
            let status = response.status();
            let (about, timeouts) = (ask.about.clone(), self.transport.timeouts.clone());
            let answer = Answer { response, method: method.clone(), about, from_home, timeouts };
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return judge(ask, answer);
            }
            let Some(target) = answer.header(&LOCATION) else {
                return Attempt::Answered(answer);
            };
            url = match follow(home, answer.url(), target) {
                Ok(target) => target,
                Err(error) => return Attempt::Failed(malformed(&ask.about, error.into())),
            };
            if status == StatusCode::SEE_OTHER && method != Method::HEAD {
                method = Method::GET;
            }
            let carries = !ask.body.is_empty() && method == ask.method;
            let bound = carries || ask.redirects == Redirects::WithinOrigin;
            if bound && !same_origin(&ask.url, &url) {
                let told = format!(
                    "{} redirects to {}, another host, which this request is not meant for",
                    redacted(&ask.url),
                    redacted(&url)
                );
                return Attempt::Failed(malformed(&ask.about, cause(told)));
            }
        }
        Attempt::Failed(malformed(&ask.about, cause("it redirects without end")))
    }

    /// A request to `url` by the client for its side, with the secret only where it belongs.
    pub(crate) fn request(
        &self,
        home: &Url,
        method: Method,
        url: Url,
        authorization: Option<&HeaderValue>,
    ) -> RequestBuilder {
        let from_home = same_origin(home, &url);
        let client = if from_home { &self.registry_side } else { &self.elsewhere };
        let request = client.request(method, url);
        match authorization.filter(|_| from_home) {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// The head of the answer, or why there is none. While the body of the request moves, there is
    /// no silence.
    async fn head_of(
        &self,
        request: RequestBuilder,
        pace: Pace,
        moved: &AtomicU64,
    ) -> Result<Response, Cause> {
        let timeouts = &self.transport.timeouts;
        let limit = match pace {
            Pace::Usual => timeouts.stall,
            Pace::Publish => timeouts.publish,
        };
        let mut answer = std::pin::pin!(request.send());
        let mut before = 0;
        loop {
            match tokio::time::timeout(limit, answer.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(error.without_url().into()),
                Err(_) => {}
            }
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return Err(cause(stalled(limit)));
            }
            before = now;
        }
    }
}

/// `bytes` in pieces, counting those that the connection has taken.
fn counted(bytes: Bytes, moved: Arc<AtomicU64>) -> reqwest::Body {
    let pieces = futures_util::stream::iter(pieces(bytes)).map(move |piece| {
        moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(piece)
    });
    reqwest::Body::wrap_stream(pieces)
}

/// `bytes` cut so that each piece moves in a moment, even on a slow line.
pub(crate) fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = bytes.len().min(PIECE);
        (length > 0).then(|| bytes.split_to(length))
    })
}

fn judge(ask: &Ask, answer: Answer) -> Attempt {
    let asked = asked_wait(answer.headers());
    match answer.status().as_u16() {
        429 => Attempt::TurnedAway(asked, answer),
        503 if asked.is_some() => Attempt::TurnedAway(asked, answer),
        408 | 500 | 502 | 503 | 504 if ask.repeat == Repeat::Always => {
            Attempt::TurnedAway(asked, answer)
        }
        _ => Attempt::Answered(answer),
    }
}

/// An error of the network, under the name of what was asked.
pub(crate) fn unreachable(about: &About, source: Cause) -> StoreError {
    StoreError::Unreachable { place: about.place.clone(), source }
}

/// An answer that the protocol does not allow.
pub(crate) fn malformed(about: &About, source: Cause) -> StoreError {
    StoreError::Malformed { object: about.object.clone(), place: about.place.clone(), source }
}

/// `Content-Type` without parameters, in lower case.
pub(crate) fn media_type(answer: &Answer) -> Option<String> {
    let text = answer.header(&CONTENT_TYPE)?;
    let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!bare.is_empty()).then_some(bare)
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap_or(Method::GET)
}
