//! Answers: status, headers and body of what leaves the server.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// The body of an answer; an error in it cuts the connection.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Header names of the protocol that `http` does not know.
pub(crate) mod name {
    use http::HeaderName;

    pub(crate) const API_VERSION: HeaderName =
        HeaderName::from_static("docker-distribution-api-version");
    pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
    pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
    pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
    pub(crate) const TAG: HeaderName = HeaderName::from_static("oci-tag");
    pub(crate) const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
    pub(crate) const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer(Response<Body>);

impl Answer {
    /// An answer without a body.
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = status;
        Self(response)
    }

    /// An answer with a body of the given type.
    pub(crate) fn with_body(status: StatusCode, media_type: &str, body: Bytes) -> Self {
        let length = body.len() as u64;
        let mut answer = Self::new(status).header(CONTENT_TYPE, media_type);
        *answer.0.body_mut() = full(body);
        answer.header(CONTENT_LENGTH, &length.to_string())
    }

    /// The headers of an answer whose body of `length` bytes is not asked for (`HEAD`).
    pub(crate) fn without_body(status: StatusCode, media_type: &str, length: u64) -> Self {
        let answer = Self::new(status).header(CONTENT_TYPE, media_type);
        let mut answer = answer.header(CONTENT_LENGTH, &length.to_string());
        *answer.0.body_mut() = Empty::new().map_err(never).boxed_unsync();
        answer
    }

    /// Adds a header. A value that no header can hold is left out: all that come here are made of
    /// words whose grammar was checked, or of numbers.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    pub(crate) fn finish(self) -> Response<Body> {
        self.0
    }
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(never).boxed_unsync()
}

fn never(error: Infallible) -> io::Error {
    match error {}
}
