//! One blob on its way into a registry: in one request where that works, in chunks where it must
//! be, and from where it stopped when it was cut (distribution-spec, Pushing blobs).
//!
//! The bytes are hashed as they come, once. The last of them are held back until the digest is
//! known to be right, so that a registry never gets a whole wrong blob from us.

mod body;
mod recovery;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use corten_spec::{Descriptor, Verifier};
use corten_store::{Ingest, StoreError};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use reqwest::{Method, Url};

use crate::address::same_origin;
use crate::answer::{About, Answer};
use crate::cause;
use crate::exchange::{Ask, Pace, Redirects, Remote, Repeat};
use crate::ingest::{Session, location, start};
use crate::manifests::{content_digest, corrupt};
use crate::retry::pause;
use crate::scopes::Scopes;
use crate::wire::Range;
use body::Body;
use recovery::Remedy;

/// Bytes between two points from which hashing can go on.
const CHECKPOINT: u64 = 8 * 1024 * 1024;

/// Bytes of a chunk, where blobs go in chunks and the registry does not ask for more.
const CHUNK: u64 = 8 * 1024 * 1024;

/// Largest chunk that a registry can ask for; it is held in memory.
const MAX_CHUNK: u64 = 64 * 1024 * 1024;

/// Failures without progress after which a blob goes in chunks.
const FRUITLESS: u32 = 2;

/// How the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In the body of the request that ends the upload.
    Whole,
    /// In requests of so many bytes.
    Chunks(u64),
}

impl Way {
    fn chunk(self) -> u64 {
        match self {
            Self::Whole => CHUNK,
            Self::Chunks(size) => size,
        }
    }
}

pub(crate) struct Upload {
    remote: Remote,
    blob: Descriptor,
    about: About,
    session: Option<Url>,
    way: Way,
    verifier: Verifier,
    checkpoints: Vec<Verifier>,
    /// Bytes at the start that the registry has: hashed, not sent.
    there: u64,
    /// The request in whose body the bytes go.
    body: Option<Body>,
    /// Bytes taken and not sent: a chunk that grows, or the end of the blob.
    held: BytesMut,
    failed: bool,
    /// The request that ends the upload was sent; its answer may have been lost.
    closing: bool,
    /// The registry has the blob.
    published: bool,
    /// Failures since the registry last had more than before.
    failures: u32,
    most: u64,
    wait: Option<Duration>,
}

impl Upload {
    pub(crate) fn new(
        remote: Remote,
        blob: &Descriptor,
        session: Session,
    ) -> Result<Self, StoreError> {
        let about = remote.about("push", &blob.digest);
        let verifier = Verifier::new(blob).map_err(|source| corrupt(&about, source.into()))?;
        let mut upload = Self {
            remote,
            blob: blob.clone(),
            about,
            session: None,
            way: Way::Whole,
            checkpoints: vec![verifier.clone()],
            verifier,
            there: 0,
            body: None,
            held: BytesMut::new(),
            failed: false,
            closing: false,
            published: false,
            failures: 0,
            most: 0,
            wait: None,
        };
        upload.open(session);
        Ok(upload)
    }

    fn open(&mut self, session: Session) {
        self.session = Some(session.url);
        let wish = session.chunk.filter(|least| *least <= MAX_CHUNK && *least < self.blob.size);
        if let Some(least) = wish {
            self.way = Way::Chunks(least.max(CHUNK));
        }
    }

    /// Sends the next bytes, which follow everything sent so far.
    async fn send(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.body.is_none() {
            let offset =
                self.blob.size.min(self.verifier.taken()).saturating_sub(bytes.len() as u64);
            self.body = Some(self.start_body(offset).await?);
        }
        let stall = self.remote.connection.transport.timeouts.stall;
        match &mut self.body {
            Some(body) => match body.feed(bytes, stall).await {
                Ok(()) => Ok(()),
                Err(stop) => Err(self.stopped(stop).await),
            },
            None => Ok(()),
        }
    }

    /// The request that takes everything from `offset` to the end.
    async fn start_body(&mut self, offset: u64) -> Result<Body, StoreError> {
        let home = self.remote.home().await?;
        let url = self.closing_url().await?;
        let scopes = Scopes::push(&self.remote.repository);
        let authorization = match same_origin(&home, &url) {
            true => self.remote.authorization(&home, &scopes).await?,
            false => None,
        };
        let connection = &self.remote.connection;
        let length = self.blob.size.saturating_sub(offset);
        let request = connection
            .request(&home, Method::PUT, url, authorization.as_ref())
            .header(CONTENT_LENGTH, length)
            .headers(headers(offset, length, offset > 0));
        Ok(Body::start(request))
    }

    /// The URL that ends the upload: that of the session, with the digest.
    async fn closing_url(&mut self) -> Result<Url, StoreError> {
        let mut url = self.session().await?;
        url.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        Ok(url)
    }

    async fn session(&mut self) -> Result<Url, StoreError> {
        if let Some(url) = &self.session {
            return Ok(url.clone());
        }
        let session = start(&self.remote, &self.blob).await?;
        let url = session.url.clone();
        self.open(session);
        Ok(url)
    }

    /// Sends what is held as one chunk.
    async fn send_chunk(&mut self) -> Result<(), StoreError> {
        let chunk = self.held.split().freeze();
        let length = chunk.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let offset = self.verifier.taken().saturating_sub(length);
        let ask = Ask {
            method: Method::PATCH,
            url: self.session().await?,
            headers: headers(offset, length, true),
            body: chunk,
            repeat: Repeat::WhenTurnedAway,
            pace: Pace::Usual,
            redirects: Redirects::Anywhere,
            about: self.about.clone(),
        };
        let answer = self.exchange(&ask).await?;
        // The offset that the answer gives is not looked at: registries of the field give stale
        // ones for chunks that they have. The digest at the end tells.
        if let Some(url) = location(&self.remote, &answer).await? {
            self.session = Some(url);
        }
        Ok(())
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, StoreError> {
        let scopes = Scopes::push(&self.remote.repository);
        match self.remote.send(ask, &scopes).await {
            Ok(answer) => self.accept(answer).await,
            Err(error @ (StoreError::Unreachable { .. } | StoreError::Interrupted { .. })) => {
                Err(self.fail(Remedy::GoOn, error))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the upload with what is held as its last bytes.
    async fn close(&mut self) -> Result<Answer, StoreError> {
        if let Way::Chunks(_) = self.way {
            self.send_chunk().await?;
        }
        let mut rest = self.held.split().freeze();
        if self.body.is_some() {
            self.send(std::mem::take(&mut rest)).await?;
        }
        if let Some(body) = self.body.take() {
            let limit = self.remote.connection.transport.timeouts.publish;
            return match body.finish(limit).await {
                Ok(response) => self.answer(response).await,
                Err(stop) => Err(self.stopped(stop).await),
            };
        }
        let length = rest.len() as u64;
        let offset = self.verifier.taken().saturating_sub(length);
        let ask = Ask {
            method: Method::PUT,
            url: self.closing_url().await?,
            headers: headers(offset, length, offset > 0),
            body: rest,
            repeat: Repeat::WhenTurnedAway,
            pace: Pace::Publish,
            redirects: Redirects::Anywhere,
            about: self.about.clone(),
        };
        self.exchange(&ask).await
    }
}

#[async_trait]
impl Ingest for Upload {
    async fn resume(&mut self) -> Result<u64, StoreError> {
        if !self.failed {
            return Ok(self.verifier.taken());
        }
        let retry = &self.remote.connection.transport.retry;
        let pause = pause(retry, self.failures.saturating_add(1));
        tokio::time::sleep(self.wait.take().unwrap_or(pause)).await;
        let offset = match self.received().await? {
            Some(offset) => offset,
            None if self.closing && self.is_there().await? => {
                self.published = true;
                return Ok(self.blob.size);
            }
            None => {
                self.session = None;
                0
            }
        };
        self.closing = false;
        if offset > self.most {
            self.most = offset;
            self.failures = 0;
        } else if self.failures >= FRUITLESS && self.blob.size.saturating_sub(offset) > CHUNK {
            // Something on the way may not let so large a request through, and not say so.
            self.way = Way::Chunks(self.way.chunk());
        }
        self.rewind(offset);
        self.failed = false;
        Ok(self.verifier.taken())
    }

    async fn append(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        let at = self.verifier.taken();
        if let Err(mismatch) = self.verifier.update(&bytes) {
            return Err(self.mismatch(mismatch));
        }
        let taken = self.verifier.taken();
        if taken / CHECKPOINT > at / CHECKPOINT {
            self.checkpoints.push(self.verifier.clone());
        }
        let known = self.there.saturating_sub(at).min(bytes.len() as u64);
        // `known` is at most the number of bytes, which is a usize.
        bytes.advance(usize::try_from(known).unwrap_or(bytes.len()));
        match self.way {
            Way::Chunks(size) => {
                self.held.extend_from_slice(&bytes);
                let full = self.held.len() as u64 >= size && taken < self.blob.size;
                if full { self.send_chunk().await } else { Ok(()) }
            }
            Way::Whole if taken == self.blob.size => {
                self.held.extend_from_slice(&bytes);
                Ok(())
            }
            Way::Whole => self.send(bytes).await,
        }
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        if self.published {
            return Ok(());
        }
        if let Err(mismatch) = self.verifier.clone().finish() {
            return Err(self.mismatch(mismatch));
        }
        self.closing = true;
        let answer = self.close().await?;
        match content_digest(&answer) {
            Some(other) if other.algorithm_name() == self.blob.digest.algorithm_name() => {
                let lie = || cause(format!("the registry stored it as {other}"));
                if other == self.blob.digest { Ok(()) } else { Err(corrupt(&self.about, lie())) }
            }
            _ => Ok(()),
        }
    }
}

/// Headers of a request that carries `length` bytes from `offset` on.
fn headers(offset: u64, length: u64, ranged: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if length > 0 {
        insert(CONTENT_TYPE, "application/octet-stream".to_owned());
    }
    if let (true, Some(range)) = (ranged, Range::of(offset, length)) {
        insert(CONTENT_RANGE, range.to_string());
    }
    headers
}
