//! The body of a request, read piece by piece under limits.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corten_registry::wire::ErrorCode;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use crate::answer::Body;
use crate::failure::Failure;

/// The body of a request.
pub(crate) struct Received {
    body: Body,
    announced: Option<u64>,
    idle: Duration,
}

impl Received {
    pub(crate) fn new<B>(body: B, headers: &HeaderMap, idle: Duration) -> Self
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let announced = text(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let announced = announced.or_else(|| body.size_hint().exact());
        Self { body: body.map_err(io::Error::other).boxed_unsync(), announced, idle }
    }

    /// The length the request announces, where it does.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// The next bytes; `None` at the end. Fails when the client is gone or silent for too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = tokio::time::timeout(self.idle, self.body.frame()).await;
            let Ok(frame) = frame else {
                let failure = Failure::new(ErrorCode::BlobUploadInvalid, "the body stopped coming");
                return Err(failure.status(StatusCode::REQUEST_TIMEOUT));
            };
            match frame {
                None => return Ok(None),
                Some(Err(_)) => {
                    return Err(Failure::new(ErrorCode::BlobUploadInvalid, "the body was cut"));
                }
                // Trailers say nothing here.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => {}
                },
            }
        }
    }

    /// The whole of a small body; 413 as soon as it passes `limit` bytes.
    pub(crate) async fn whole(&mut self, what: &str, limit: u64) -> Result<Bytes, Failure> {
        if self.announced().is_some_and(|length| length > limit) {
            return Err(Failure::too_large(what, limit));
        }
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if (whole.len() as u64).saturating_add(bytes.len() as u64) > limit {
                return Err(Failure::too_large(what, limit));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// Reads to the end and forgets; at most `limit` bytes.
    pub(crate) async fn discard(&mut self, limit: u64) -> Result<(), Failure> {
        let mut taken = 0_u64;
        while let Some(bytes) = self.next().await? {
            taken = taken.saturating_add(bytes.len() as u64);
            if taken > limit {
                return Err(Failure::too_large("the body", limit));
            }
        }
        Ok(())
    }
}

/// The text of a header; `None` where it is absent or not ASCII.
pub(crate) fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
