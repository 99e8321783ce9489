//! Refusals: the error body of the protocol and its codes (distribution-spec, Error Codes).

use std::fmt;

use serde_json::{Map, Value, json};

/// Longest error body read, in bytes; what a peer sends beyond it says nothing.
pub const MAX_REFUSED: usize = 64 * 1024;
/// Most reasons kept of one body.
const MAX_REASONS: usize = 16;
/// Longest text kept of one message, in characters.
const MAX_MESSAGE: usize = 1024;
/// Longest code kept, in characters.
const MAX_CODE: usize = 64;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// Why a server refuses, in one word.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code that is not known here, as sent.
            Other(Box<str>),
        }

        impl ErrorCode {
            /// The code as it stands in the body.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// Reads a code; upper and lower case are the same.
            pub fn parse(text: &str) -> Self {
                let text = clean(text, MAX_CODE);
                match text.to_ascii_uppercase().as_str() {
                    $($text => Self::$name,)*
                    _ => Self::Other(text.into()),
                }
            }

            /// The HTTP status that usually goes with the code; 400 for codes not known here.
            pub fn status(&self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Other(_) => 400,
                }
            }

            /// Every code known here.
            pub const KNOWN: &'static [ErrorCode] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    /// No such blob in the repository (code-1).
    BlobUnknown = "BLOB_UNKNOWN", 404;
    /// The upload cannot go on (code-2).
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID", 400;
    /// No such upload (code-3).
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN", 404;
    /// The digest is malformed, or is not that of the content (code-4).
    DigestInvalid = "DIGEST_INVALID", 400;
    /// The manifest refers to something that is not there (code-5).
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN", 404;
    /// The manifest is malformed (code-6).
    ManifestInvalid = "MANIFEST_INVALID", 400;
    /// No such manifest in the repository (code-7).
    ManifestUnknown = "MANIFEST_UNKNOWN", 404;
    /// The repository's name is malformed (code-8).
    NameInvalid = "NAME_INVALID", 400;
    /// No such repository (code-9).
    NameUnknown = "NAME_UNKNOWN", 404;
    /// The length is not the announced one (code-10).
    SizeInvalid = "SIZE_INVALID", 400;
    /// Credentials are missing or wrong (code-11).
    Unauthorized = "UNAUTHORIZED", 401;
    /// The credentials do not allow this (code-12).
    Denied = "DENIED", 403;
    /// The server does not do this (code-13).
    Unsupported = "UNSUPPORTED", 405;
    /// Come back later (code-14).
    TooManyRequests = "TOOMANYREQUESTS", 429;
    /// A chunk out of order; met in the field.
    RangeInvalid = "RANGE_INVALID", 416;
    /// A tag that is malformed; met in the field.
    TagInvalid = "TAG_INVALID", 400;
    /// `n` of a list is no number; met in the field.
    PaginationNumberInvalid = "PAGINATION_NUMBER_INVALID", 400;
    /// The server cannot answer now; met in the field.
    Unavailable = "UNAVAILABLE", 503;
    /// Something else went wrong on the server; met in the field.
    Unknown = "UNKNOWN", 500;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of an error body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: ErrorCode,
    /// The server's words; may be empty. Free of control characters when it was parsed.
    pub message: String,
    /// More, of any shape.
    pub detail: Option<Value>,
}

/// What a server says when it refuses: `{"errors":[{"code","message","detail"}]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// At least one in a body of the specification; none when the body was something else.
    pub reasons: Vec<Reason>,
}

impl Refused {
    /// A refusal for one reason.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { reasons: vec![Reason { code, message: message.into(), detail: None }] }
    }

    /// Reads a body of any server. Beside the form of the specification the single-message bodies
    /// of token services and proxies are understood (`message`, `details`, `error` with
    /// `error_description`); anything else gives no reasons. Never fails.
    pub fn parse(body: &[u8]) -> Self {
        if body.len() > MAX_REFUSED {
            return Self::default();
        }
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let reasons: Vec<Reason> = match body.get("errors") {
            Some(Value::Array(errors)) => {
                errors.iter().take(MAX_REASONS).filter_map(reason).collect()
            }
            Some(Value::Object(error)) => {
                reason(&Value::Object(error.clone())).into_iter().collect()
            }
            _ => Vec::new(),
        };
        if reasons.is_empty() {
            Self { reasons: single(&body).into_iter().collect() }
        } else {
            Self { reasons }
        }
    }

    /// The body to send.
    pub fn write(&self) -> Vec<u8> {
        let errors: Vec<Value> = self
            .reasons
            .iter()
            .map(|reason| {
                let mut error = json!({ "code": reason.code.as_str(), "message": reason.message });
                if let (Some(detail), Some(error)) = (&reason.detail, error.as_object_mut()) {
                    error.insert("detail".to_owned(), detail.clone());
                }
                error
            })
            .collect();
        json!({ "errors": errors }).to_string().into_bytes()
    }

    /// The first code, which says the most; `None` without reasons.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.reasons.first().map(|reason| &reason.code)
    }

    /// Whether one of the reasons has this code.
    pub fn says(&self, code: &ErrorCode) -> bool {
        self.reasons.iter().any(|reason| reason.code == *code)
    }
}

fn reason(error: &Value) -> Option<Reason> {
    let error = error.as_object()?;
    let code = match error.get("code") {
        Some(Value::String(code)) => ErrorCode::parse(code),
        Some(Value::Number(code)) => ErrorCode::Other(code.to_string().into()),
        _ => ErrorCode::Unknown,
    };
    let detail = error.get("detail").filter(|detail| !detail.is_null()).cloned();
    Some(Reason { code, message: text(error, "message").unwrap_or_default(), detail })
}

/// The bodies with one message and no list.
fn single(body: &Map<String, Value>) -> Option<Reason> {
    let code = text(body, "code").or_else(|| text(body, "error"));
    let message = ["error_description", "message", "details", "detail", "error"]
        .into_iter()
        .find_map(|key| text(body, key))?;
    let code = code.map_or(ErrorCode::Unknown, |code| ErrorCode::parse(&code));
    Some(Reason { code, message, detail: None })
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(|text| clean(text, MAX_MESSAGE))
}

/// A peer's text made safe to show: no control characters, no more than `limit` characters.
fn clean(text: &str, limit: usize) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(shown).collect();
    let text: String = text.trim().chars().take(limit).collect();
    text.trim_end().to_owned()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f.write_str("no reason given");
        }
        for (index, reason) in self.reasons.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}", reason.code)?;
            if !reason.message.is_empty() {
                write!(f, ": {}", reason.message)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_and_written() {
        assert_eq!(ErrorCode::KNOWN.len(), 19);
        for code in ErrorCode::KNOWN {
            assert_eq!(ErrorCode::parse(code.as_str()), *code);
            assert!((400..600).contains(&code.status()), "{code}");
        }
        assert_eq!(ErrorCode::parse(" blob_unknown"), ErrorCode::BlobUnknown);
        assert_eq!(ErrorCode::parse("X_Y"), ErrorCode::Other("X_Y".into()));
        assert_eq!(ErrorCode::parse(&"X".repeat(500)).as_str().len(), MAX_CODE);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut refused = Refused::new(ErrorCode::ManifestUnknown, "no \"v1\" here");
        refused.reasons.push(Reason {
            code: ErrorCode::Other("MINE".into()),
            message: String::new(),
            detail: Some(json!({ "tag": "v1" })),
        });
        assert_eq!(Refused::parse(&refused.write()), refused);
        assert_eq!(refused.to_string(), "MANIFEST_UNKNOWN: no \"v1\" here; MINE");
        assert_eq!(refused.code(), Some(&ErrorCode::ManifestUnknown));
        assert!(refused.says(&ErrorCode::Other("MINE".into())));
        let plain = Refused::new(ErrorCode::Denied, "no");
        assert_eq!(plain.write(), br#"{"errors":[{"code":"DENIED","message":"no"}]}"#);
    }

    #[test]
    fn bodies_of_the_field_are_understood() {
        let cases = [
            (r#"{"errors":[{"code":"DENIED","message":null,"detail":null}]}"#, "DENIED"),
            (r#"{"errors":[{"code":404,"message":"x"}]}"#, "404: x"),
            (r#"{"errors":[{"message":"x"},"y",{}]}"#, "UNKNOWN: x; UNKNOWN"),
            (r#"{"errors":{"code":"DENIED","message":"x"}}"#, "DENIED: x"),
            (
                r#"{"details":"incorrect username or password"}"#,
                "UNKNOWN: incorrect username or password",
            ),
            (r#"{"message":"Not Found","status":404}"#, "UNKNOWN: Not Found"),
            (r#"{"error":"invalid_grant","error_description":"old"}"#, "invalid_grant: old"),
            (r#"{"errors":[],"message":"x"}"#, "UNKNOWN: x"),
            (r#"{"errors":[{"code":"DENIED","message":"a\u001b[31mb\nc"}]}"#, "DENIED: a [31mb c"),
            ("<html>502</html>", "no reason given"),
            ("[]", "no reason given"),
            ("", "no reason given"),
        ];
        for (body, wanted) in cases {
            assert_eq!(Refused::parse(body.as_bytes()).to_string(), wanted, "{body}");
        }
    }

    #[test]
    fn limits_hold() {
        let entry = format!("{{\"code\":\"DENIED\",\"message\":\"{}\"}},", "x".repeat(3000));
        let body = |count: usize| format!("{{\"errors\":[{}{{}}]}}", entry.repeat(count));
        let read = Refused::parse(body(20).as_bytes());
        assert_eq!(read.reasons.len(), MAX_REASONS);
        assert_eq!(read.reasons[0].message.len(), MAX_MESSAGE);
        assert_eq!(Refused::parse(body(30).as_bytes()).reasons, []);
        assert_eq!(Refused::parse("[".repeat(60_000).as_bytes()).reasons, []);
    }
}
