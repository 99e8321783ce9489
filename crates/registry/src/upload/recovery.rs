//! What an upload does about failures: which of them can be mended, and how far it has come.

use bytes::Bytes;
use corten_spec::Mismatch;
use corten_store::{Cause, StoreError};
use reqwest::header::{HeaderMap, RANGE};
use reqwest::{Method, Response};

use super::body::Stop;
use super::{CHUNK, Upload, Way};
use crate::address::same_origin;
use crate::answer::{About, Answer, stalled};
use crate::blobs::check_announced;
use crate::cause;
use crate::exchange::{Ask, Pace, Redirects, Repeat, malformed, unreachable};
use crate::ingest::location;
use crate::manifests::corrupt;
use crate::retry::asked_wait;
use crate::scopes::Scopes;
use crate::wire::{Part, Range, Route};

/// What to do about a failed request.
pub(super) enum Remedy {
    /// Go on in the same session.
    GoOn,
    /// Open another session.
    Restart,
    /// Open another session and send chunks.
    Divide,
    /// Nothing helps.
    GiveUp,
}

impl Upload {
    /// Takes the hash back to the last point at or before `offset`.
    pub(super) fn rewind(&mut self, offset: u64) {
        self.held.clear();
        self.body = None;
        self.there = offset;
        self.checkpoints.retain(|point| point.taken() <= offset);
        // The first point is at zero, and zero is at most any offset.
        if let Some(point) = self.checkpoints.last() {
            self.verifier = point.clone();
        }
    }

    /// Notes a failure and decides whether it is worth going on.
    pub(super) fn fail(&mut self, remedy: Remedy, error: StoreError) -> StoreError {
        self.failed = true;
        self.body = None;
        self.failures += 1;
        let last = self.failures >= self.remote.connection.transport.retry.attempts;
        match remedy {
            Remedy::GiveUp => return error,
            Remedy::GoOn => {}
            Remedy::Restart => self.session = None,
            Remedy::Divide => {
                if self.way != Way::Whole {
                    return error;
                }
                self.session = None;
                self.way = Way::Chunks(CHUNK);
            }
        }
        if last { error } else { self.interrupted(error.into()) }
    }

    fn interrupted(&self, source: Cause) -> StoreError {
        let About { object, place, .. } = self.about.clone();
        StoreError::Interrupted { object, place, source }
    }

    pub(super) fn mismatch(&mut self, mismatch: Mismatch) -> StoreError {
        // Whatever the registry has of it is of no use.
        self.session = None;
        self.failed = true;
        self.closing = false;
        self.body = None;
        corrupt(&self.about, mismatch.into())
    }

    /// What became of a body that took no more.
    pub(super) async fn stopped(&mut self, stop: Stop) -> StoreError {
        let error = match stop {
            Stop::Answered(response) => return self.answered(*response).await,
            Stop::Broken(error) => error.into(),
            Stop::Silent(limit) => cause(stalled(limit)),
            Stop::Gone => cause("the request was dropped"),
        };
        let error = unreachable(&self.about, error);
        self.fail(Remedy::GoOn, error)
    }

    async fn answered(&mut self, response: Response) -> StoreError {
        match self.answer(response).await {
            // An early yes to half a blob.
            Ok(answer) => {
                let said = cause("it took the blob before it had all of it");
                let error = malformed(&answer.about, said);
                self.fail(Remedy::Restart, error)
            }
            Err(error) => error,
        }
    }

    /// The answer to a request of this upload: a yes, or the error to go on with.
    pub(super) async fn answer(&mut self, response: Response) -> Result<Answer, StoreError> {
        let home = self.remote.home().await?;
        let answer = Answer {
            from_home: same_origin(&home, response.url()),
            response,
            method: Method::PUT,
            about: self.about.clone(),
            timeouts: self.remote.connection.transport.timeouts.clone(),
        };
        self.accept(answer).await
    }

    pub(super) async fn accept(&mut self, answer: Answer) -> Result<Answer, StoreError> {
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let remedy = match status {
            301 | 302 | 307 | 308 => {
                self.session = location(&self.remote, &answer).await?;
                Remedy::GoOn
            }
            401 if answer.from_home => {
                let mut scopes = Scopes::push(&self.remote.repository);
                let mut access = self.remote.host.access.lock().await;
                access.refused(answer.headers(), None, &mut scopes);
                access.forget_tokens();
                Remedy::GoOn
            }
            408 | 429 | 500 | 502 | 503 | 504 => {
                self.wait = asked_wait(answer.headers());
                let longest = self.remote.connection.transport.retry.longest;
                match self.wait {
                    Some(wait) if wait > longest => Remedy::GiveUp,
                    _ => Remedy::GoOn,
                }
            }
            400 | 404 | 409 | 410 | 416 => Remedy::Restart,
            405 | 411 | 413 | 501 => Remedy::Divide,
            _ => Remedy::GiveUp,
        };
        let error = answer.refusal().await;
        Err(self.fail(remedy, error))
    }

    /// How much of the blob the session has; `None` when it is gone.
    pub(super) async fn received(&mut self) -> Result<Option<u64>, StoreError> {
        let Some(url) = self.session.clone() else {
            return Ok(None);
        };
        let ask = Ask {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            repeat: Repeat::Always,
            pace: Pace::Usual,
            redirects: Redirects::Anywhere,
            about: self.about.clone(),
        };
        let answer = self.remote.send(&ask, &Scopes::push(&self.remote.repository)).await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let range = answer.header(&RANGE).and_then(Range::parse);
        let Some(range) = range.filter(|range| range.first() == 0) else {
            return Ok(None);
        };
        if let Some(url) = location(&self.remote, &answer).await? {
            self.session = Some(url);
        }
        // `0-0` is how registries write that there is nothing yet.
        Ok(Some(if range.end() == 1 { 0 } else { range.end() })
            .filter(|end| *end <= self.blob.size))
    }

    /// Whether the blob is in the registry, whatever became of the session.
    pub(super) async fn is_there(&self) -> Result<bool, StoreError> {
        let route =
            Route::ReadBlob(self.remote.repository.clone(), self.blob.digest.clone(), Part::Head);
        let ask = self.remote.ask(&route, self.about.clone()).await?;
        let answer = self.remote.send(&ask, &Scopes::push(&self.remote.repository)).await?;
        if !answer.status().is_success() {
            return Ok(false);
        }
        check_announced(&answer, &self.blob)?;
        Ok(answer.length().is_none_or(|length| length == self.blob.size))
    }
}
