//! Failures: every error leaves as a status, a code and words for the outside.

use bytes::Bytes;
use corten_registry::wire::{Challenge, ErrorCode, Refused, RouteError};
use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};

use crate::answer::Answer;

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    refused: Refused,
    headers: Vec<(HeaderName, String)>,
}

impl Failure {
    /// A failure with the status that goes with its code.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, refused: Refused::new(code, message), headers: Vec::new() }
    }

    /// A failure with several reasons, and the status of the first.
    pub(crate) fn of(refused: Refused) -> Self {
        let code = refused.code().cloned().unwrap_or(ErrorCode::Unknown);
        Self { refused, ..Self::new(code, "") }
    }

    /// The same with another status.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Credentials are missing or wrong; how to bring them.
    pub(crate) fn unauthorized(challenges: &[Challenge]) -> Self {
        let failure = Self::new(ErrorCode::Unauthorized, "authentication required");
        challenges.iter().fold(failure, |failure, challenge| {
            failure.header(WWW_AUTHENTICATE, challenge.to_string())
        })
    }

    /// Something is larger than its limit.
    pub(crate) fn too_large(what: &str, limit: u64) -> Self {
        let message = format!("{what} has more than {limit} bytes");
        Self::new(ErrorCode::SizeInvalid, message).status(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// A part of the protocol that is switched off.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new(ErrorCode::Unsupported, format!("{what} is switched off"))
    }

    pub(crate) fn answer(self) -> Answer {
        let body = Bytes::from(self.refused.write());
        let answer = Answer::with_body(self.status, "application/json", body);
        self.headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, &value))
    }
}

impl From<RouteError> for Failure {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        match error {
            RouteError::Method(allow) => {
                Self::new(ErrorCode::Unsupported, message).header(ALLOW, allow)
            }
            RouteError::Repository(_) => Self::new(ErrorCode::NameInvalid, message),
            RouteError::Target(corten_spec::ReferenceError::Digest(_)) => {
                Self::new(ErrorCode::DigestInvalid, message)
            }
            RouteError::Target(_) => Self::new(ErrorCode::TagInvalid, message),
            RouteError::Digest(_) | RouteError::Algorithm(_) => {
                Self::new(ErrorCode::DigestInvalid, message)
            }
            RouteError::Query("tag") => Self::new(ErrorCode::TagInvalid, message),
            RouteError::Query("n") => Self::new(ErrorCode::PaginationNumberInvalid, message),
            RouteError::Query(_) => {
                Self::new(ErrorCode::Unsupported, message).status(StatusCode::BAD_REQUEST)
            }
            RouteError::Session => Self::new(ErrorCode::BlobUploadUnknown, message),
            RouteError::TooLong => {
                Self::new(ErrorCode::NameInvalid, message).status(StatusCode::URI_TOO_LONG)
            }
            _ => Self::new(ErrorCode::Unsupported, message).status(StatusCode::NOT_FOUND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_registry::wire::Route;

    #[test]
    fn what_is_no_route_has_a_status_and_a_code() {
        let cases = [
            ("POST", "/v2/", None, 405, ErrorCode::Unsupported),
            ("GET", "/v3/", None, 404, ErrorCode::Unsupported),
            ("GET", "/v2/A/tags/list", None, 400, ErrorCode::NameInvalid),
            ("GET", "/v2/a/manifests/-", None, 400, ErrorCode::TagInvalid),
            ("GET", "/v2/a/manifests/sha256:0", None, 400, ErrorCode::DigestInvalid),
            ("GET", "/v2/a/blobs/0", None, 400, ErrorCode::DigestInvalid),
            ("GET", "/v2/a/tags/list", Some("n=x"), 400, ErrorCode::PaginationNumberInvalid),
            ("GET", "/v2/a/tags/list", Some("last=%"), 400, ErrorCode::Unsupported),
            ("GET", "/v2/a/blobs/uploads/.", None, 404, ErrorCode::BlobUploadUnknown),
            (
                "POST",
                "/v2/a/blobs/uploads/",
                Some("digest-algorithm=x"),
                400,
                ErrorCode::DigestInvalid,
            ),
        ];
        for (method, path, query, status, code) in cases {
            let failure = Failure::from(Route::parse(method, path, query).unwrap_err());
            assert_eq!(failure.status.as_u16(), status, "{path}");
            assert_eq!(failure.refused.code(), Some(&code), "{path}");
        }
        let long = format!("/v2/{}", "a".repeat(9000));
        let failure = Failure::from(Route::parse("GET", &long, None).unwrap_err());
        assert_eq!(failure.status, StatusCode::URI_TOO_LONG);
    }
}
