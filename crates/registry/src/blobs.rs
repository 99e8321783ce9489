//! Reading content: blobs, and manifests by digest, from any offset (distribution-spec, Pulling
//! blobs; RFC 9110 section 14).

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use corten_spec::Descriptor;
use corten_store::{ByteStream, Cause, Fetcher, Kind, StoreError};
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};

use crate::address::{follow, is_loopback_host, redacted};
use crate::answer::{About, Answer, stalled};
use crate::exchange::{Ask, Pace, Redirects, Repeat, malformed};
use crate::manifests::{accept, content_digest, corrupt};
use crate::rate::Rate;
use crate::scopes::Scopes;
use crate::wire::{Part, Route, Served, Target, Wanted};
use crate::{Insecure, Registry, cause};

/// Foreign places tried for one layer.
const MAX_URLS: usize = 8;

#[async_trait]
impl Fetcher for Registry {
    async fn fetch(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream, StoreError> {
        if offset >= descriptor.size && offset > 0 {
            return Ok(stream::empty().boxed());
        }
        let about = self.remote.about("pull", &descriptor.digest);
        let mut ask = self.content(kind, descriptor, Part::Whole, about).await?;
        ask.headers.extend(range(kind, offset));
        let answer = self.remote.send(&ask, &Scopes::pull(&self.remote.repository)).await?;
        let out_of_range = answer.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        let foreign = descriptor.media_type.is_non_distributable() && kind == Kind::Blob;
        match answer.success().await {
            Ok(answer) => body(answer, descriptor, offset),
            Err(error @ StoreError::NotFound { .. }) if foreign => {
                self.fetch_foreign(descriptor, offset).await.unwrap_or(Err(error))
            }
            // There is less than the descriptor says.
            Err(StoreError::Malformed { source, object, place }) if out_of_range => {
                Err(StoreError::Corrupt { object, place, source })
            }
            Err(error) => Err(error),
        }
    }

    async fn exists(&self, kind: Kind, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let about = self.remote.about("pull", &descriptor.digest);
        let ask = self.content(kind, descriptor, Part::Head, about.clone()).await?;
        let answer = self.remote.send(&ask, &Scopes::pull(&self.remote.repository)).await?;
        if answer.status().as_u16() == 404 {
            return Ok(false);
        }
        // Where a redirect ends at a place that does not take HEAD, nothing is known.
        if !answer.from_home && !answer.status().is_success() {
            return Ok(false);
        }
        let answer = answer.success().await?;
        check_announced(&answer, descriptor)?;
        match answer.length() {
            Some(length) if length != descriptor.size => {
                Err(wrong_length(&about, length, descriptor))
            }
            _ => Ok(true),
        }
    }
}

impl Registry {
    async fn content(
        &self,
        kind: Kind,
        descriptor: &Descriptor,
        part: Part,
        about: About,
    ) -> Result<Ask, StoreError> {
        let (repository, digest) = (self.remote.repository.clone(), descriptor.digest.clone());
        let route = match kind {
            Kind::Manifest => Route::ReadManifest(repository, Target::Digest(digest), part),
            Kind::Blob => Route::ReadBlob(repository, digest, part),
        };
        let mut ask = self.remote.ask(&route, about).await?;
        match kind {
            Kind::Manifest => {
                ask.headers.insert(ACCEPT, accept(Some(&descriptor.media_type)));
            }
            // Nobody on the way may pack what is addressed by its bytes.
            Kind::Blob => {
                ask.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
        }
        Ok(ask)
    }

    /// A layer that its owner does not let registries hand out: from where its descriptor says,
    /// without any credential. `None` when there is no such place.
    async fn fetch_foreign(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Option<Result<ByteStream, StoreError>> {
        let connection = &self.remote.connection;
        let plain = connection.transport.insecure == Insecure::PlainHttp
            || is_loopback_host(&self.remote.location.host);
        let home = self.remote.home().await.ok()?;
        let mut outcome = None;
        for url in descriptor.urls.iter().take(MAX_URLS) {
            let Ok(url) = follow(&home, &home, url) else { continue };
            if url.scheme() != "https" && !plain {
                continue;
            }
            let mut about = self.remote.about("pull", &descriptor.digest);
            about.place = redacted(&url);
            let ask = Ask {
                method: Method::GET,
                url,
                headers: range(Kind::Blob, offset),
                body: Bytes::new(),
                repeat: Repeat::Always,
                pace: Pace::Usual,
                redirects: Redirects::Anywhere,
                about,
            };
            let answer = connection.attempt(&home, &self.remote.host, &ask, None).await;
            let answer = match answer {
                Ok(answer) => answer.success().await,
                Err(error) => Err(error),
            };
            let stream = answer.and_then(|answer| body(answer, descriptor, offset));
            let found = stream.is_ok();
            outcome = Some(stream);
            if found {
                break;
            }
        }
        outcome
    }
}

fn range(kind: Kind, offset: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(Wanted::From(offset).to_string());
    if let (Kind::Blob, 1.., Ok(value)) = (kind, offset, value) {
        headers.insert(RANGE, value);
    }
    headers
}

fn wrong_length(about: &About, length: u64, descriptor: &Descriptor) -> StoreError {
    let said = format!("it has {length} bytes there, and {} by its descriptor", descriptor.size);
    corrupt(about, cause(said))
}

/// Fails when the answer names another digest of the same algorithm than was asked for; of
/// another algorithm it may be the same content (distribution-spec, "Pulling blobs").
pub(crate) fn check_announced(answer: &Answer, descriptor: &Descriptor) -> Result<(), StoreError> {
    match content_digest(answer) {
        Some(announced)
            if announced != descriptor.digest
                && announced.algorithm_name() == descriptor.digest.algorithm_name() =>
        {
            let said = format!("{} says that it is {announced}", redacted(answer.url()));
            Err(corrupt(&answer.about, cause(said)))
        }
        _ => Ok(()),
    }
}

/// The bytes of `answer` from `offset` of the content on, checked for their number alone.
fn body(answer: Answer, descriptor: &Descriptor, offset: u64) -> Result<ByteStream, StoreError> {
    let about = answer.about.clone();
    let size = descriptor.size;
    check_announced(&answer, descriptor)?;
    let first = match answer.status().as_u16() {
        206 => {
            let served = answer.header(&CONTENT_RANGE).and_then(Served::parse);
            let Some(range) = served.and_then(|served| served.range) else {
                return Err(malformed(&about, cause("a partial answer without its range")));
            };
            if let Some(total) = served.and_then(|served| served.total).filter(|t| *t != size) {
                return Err(wrong_length(&about, total, descriptor));
            }
            range.first()
        }
        _ => 0,
    };
    let Some(skip) = offset.checked_sub(first) else {
        let said = format!("asked for bytes from {offset} on, it sends them from {first} on");
        return Err(malformed(&about, cause(said)));
    };
    let expected = size.saturating_sub(first);
    if let Some(length) = answer.length().filter(|length| *length != expected) {
        return Err(wrong_length(&about, length.saturating_add(first), descriptor));
    }
    let stall = answer.timeouts.stall;
    let left = size.saturating_sub(offset);
    let transfer =
        Transfer { response: answer.response, skip, left, about, stall, rate: Rate::new(stall) };
    Ok(stream::unfold(Some(transfer), |transfer| async {
        let mut transfer = transfer?;
        match transfer.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(transfer))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .fuse()
    .boxed())
}

/// A body on its way in.
struct Transfer {
    response: Response,
    /// Bytes to pass over: asked for a part, the server sends more.
    skip: u64,
    /// Bytes still due after those.
    left: u64,
    about: About,
    stall: Duration,
    rate: Rate,
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let asked = Instant::now();
            let chunk = tokio::time::timeout(self.stall, self.response.chunk()).await;
            let mut chunk = match chunk {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) if self.left == 0 => return Ok(None),
                Ok(Ok(None)) => return Err(self.interrupted(cause("the body ended early"))),
                Ok(Err(error)) => return Err(self.interrupted(error.without_url().into())),
                Err(_) => return Err(self.interrupted(cause(stalled(self.stall)))),
            };
            // Taking it up again would be as slow.
            let slow = self.rate.came(chunk.len(), asked);
            slow.map_err(|source| malformed(&self.about, source))?;
            let length = chunk.len() as u64;
            let passed = self.skip.min(length);
            self.skip -= passed;
            // `passed` is at most the length of the chunk, which is a usize.
            chunk.advance(usize::try_from(passed).unwrap_or(chunk.len()));
            let length = length - passed;
            if length > self.left {
                return Err(corrupt(&self.about, cause("it is longer than its descriptor says")));
            }
            self.left -= length;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    fn interrupted(&self, source: Cause) -> StoreError {
        let (object, place) = (self.about.object.clone(), self.about.place.clone());
        StoreError::Interrupted { object, place, source }
    }
}
