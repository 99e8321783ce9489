//! Answers: reading them within limits, and turning refusals into errors.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use corten_store::{Cause, StoreError};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use reqwest::{Method, Response, StatusCode, Url};

use crate::address::redacted;
use crate::rate::Rate;
use crate::retry::asked_wait;
use crate::wire::{MAX_REFUSED, Refused};
use crate::{Timeouts, cause};

/// Most characters of a server's own words that go into an error.
const MAX_WORDS: usize = 500;

/// What a request was about, for errors.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The registry and repository.
    pub(crate) place: String,
    /// The digest, tag or list.
    pub(crate) object: String,
    /// What was asked, as a noun: `pull of team/app`.
    pub(crate) action: String,
}

/// A head that arrived, whatever its status.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) method: Method,
    pub(crate) about: About,
    /// Whether it came from the registry itself, and not from where it redirected to.
    pub(crate) from_home: bool,
    pub(crate) timeouts: Timeouts,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, if it is there and is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok().map(str::trim)
    }

    /// The announced length in bytes. (The client's own accessor tells the length of the body,
    /// which is zero for HEAD.)
    pub(crate) fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.parse().ok()
    }

    /// This answer when its status is one of success, else the error it stands for.
    pub(crate) async fn success(self) -> Result<Self, StoreError> {
        if self.status().is_success() { Ok(self) } else { Err(self.refusal().await) }
    }

    /// The whole body; `what` names the limit.
    pub(crate) async fn body(self, what: &'static str, limit: u64) -> Result<Bytes, StoreError> {
        let About { place, object, .. } = self.about.clone();
        match self.read(limit).await? {
            Some(bytes) => Ok(bytes),
            None => Err(StoreError::TooLarge { object, place, what, limit }),
        }
    }

    /// `None` when the body is larger than `limit`.
    async fn read(mut self, limit: u64) -> Result<Option<Bytes>, StoreError> {
        if self.length().is_some_and(|length| length > limit) && self.method != Method::HEAD {
            return Ok(None);
        }
        let mut whole = BytesMut::new();
        let mut rate = Rate::new(self.timeouts.stall);
        loop {
            let asked = Instant::now();
            let next = tokio::time::timeout(self.timeouts.stall, self.response.chunk()).await;
            let source: Cause = match next {
                Ok(Ok(None)) => return Ok(Some(whole.freeze())),
                Ok(Ok(Some(chunk))) => {
                    if (whole.len() as u64).saturating_add(chunk.len() as u64) > limit {
                        return Ok(None);
                    }
                    whole.extend_from_slice(&chunk);
                    let Err(source) = rate.came(chunk.len(), asked) else { continue };
                    let About { place, object, .. } = self.about;
                    return Err(StoreError::Malformed { object, place, source });
                }
                Ok(Err(error)) => error.without_url().into(),
                Err(_) => cause(stalled(self.timeouts.stall)),
            };
            let About { place, object, .. } = self.about;
            return Err(StoreError::Interrupted { object, place, source });
        }
    }

    /// The error that this answer, which is none of success, stands for.
    pub(crate) async fn refusal(self) -> StoreError {
        let (status, about, wait) = (self.status(), self.about.clone(), asked_wait(self.headers()));
        let reads = self.method == Method::GET || self.method == Method::HEAD;
        let source = cause(self.words().await);
        let About { place, object, action } = about;
        match status.as_u16() {
            401 | 403 => StoreError::Denied { place, action, source: Some(source) },
            404 if reads => StoreError::NotFound { object, place },
            405 => StoreError::Unsupported { place, action: format!("{action} ({object})") },
            429 => StoreError::RateLimited { place, wait },
            500.. => StoreError::Unreachable { place, source },
            _ if reads => StoreError::Malformed { object, place, source },
            _ => StoreError::Refused { object, place, source },
        }
    }

    /// What the server said, in one line: status, codes and messages.
    async fn words(self) -> String {
        let (status, url) = (self.status(), redacted(self.url()));
        let from = if self.from_home { String::new() } else { format!(" by {url}") };
        let body = self.read(MAX_REFUSED as u64).await.ok().flatten().unwrap_or_default();
        let refused = Refused::parse(&body);
        let words = if refused.reasons.is_empty() {
            let text = String::from_utf8_lossy(&body).into_owned();
            // Pages for people say nothing that fits a line.
            if text.trim_start().starts_with('<') { String::new() } else { text }
        } else {
            refused.to_string()
        };
        let words = clean(&words);
        let colon = if words.is_empty() { "" } else { ": " };
        format!("answered {status}{from}{colon}{words}")
    }
}

/// A server's words as they may stand in a line of a message.
pub(crate) fn clean(words: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = words.chars().take(MAX_WORDS).map(visible).collect();
    line.trim().to_owned()
}

/// The cause where a connection fell silent for so long.
pub(crate) fn stalled(limit: Duration) -> String {
    format!("nothing moved for {} s", limit.as_secs_f32())
}
