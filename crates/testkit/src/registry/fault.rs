//! Faults: what a registry does wrong, and to which requests.

use std::time::Duration;

use super::Logged;

/// One way to do wrong. Offsets and lengths are bytes of the body.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Answers 429 with `Retry-After` in seconds.
    RateLimited(u64),
    /// Answers with this status and an error body that goes with it.
    Status(u16),
    /// Answers with this status, these headers and this body, whatever was asked.
    Answer(u16, Vec<(String, String)>, String),
    /// Answers 401 with this challenge, whatever credentials came.
    Unauthorized(String),
    /// Answers 307 with the same path and query under this base URL.
    Redirect(String),
    /// Answers 307 with exactly this location.
    RedirectTo(String),
    /// Closes the connection without an answer, before the request reaches the server.
    Cut,
    /// Closes the connection after so many bytes of the request's body; the server has them.
    CutRequest(u64),
    /// Takes the request's body in pieces of so many bytes, with a pause after each.
    DripRequest(u64, Duration),
    /// Closes the connection after the server did what was asked, without an answer.
    CutAfter,
    /// Waits before the request reaches the server.
    Delay(Duration),
    /// Closes the connection after so many bytes of the answer's body.
    CutAnswer(u64),
    /// Stops for a while after so many bytes of the answer's body, then goes on.
    Stall(u64, Duration),
    /// Sends the answer's body in pieces of so many bytes, with a pause after each.
    Drip(u64, Duration),
    /// Flips all bits of the byte at this offset of the answer's body.
    Corrupt(u64),
    /// Ends the answer's body cleanly after so many bytes, without a `Content-Length`.
    Shorten(u64),
    /// Sends this `Content-Length` with the body as it is: a body that is longer is cut to it, and
    /// after one that is shorter the connection ends.
    Length(u64),
    /// Sends bytes without end, and no `Content-Length`.
    Endless,
    /// Sets a header of the answer.
    Header(String, String),
    /// Removes a header of the answer.
    Without(String),
    /// Makes `Location` of the answer a path.
    RelativeLocation,
    /// Makes `Location` of the answer a URL with the registry's host.
    AbsoluteLocation,
    /// Adds this query to `Location` of the answer, where it must come back.
    LocationQuery(String),
    /// Answers a mount by a session, 202.
    NoMount,
}

impl Fault {
    /// `Range` of the answer to a chunk stays where it was (met at ECR).
    pub fn stale_range(last: u64) -> Self {
        Self::Header("range".to_owned(), format!("0-{last}"))
    }

    /// The answer claims another digest than its content has.
    pub fn lying_digest() -> Self {
        let other = corten_spec::Digest::sha256(b"something else");
        Self::Header("docker-content-digest".to_owned(), other.to_string())
    }

    /// The answer claims another type.
    pub fn content_type(media_type: &str) -> Self {
        Self::Header("content-type".to_owned(), media_type.to_owned())
    }
}

/// The faults of one registry.
#[derive(Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    met: usize,
}

struct Rule {
    when: String,
    left: usize,
    fault: Fault,
}

impl Faults {
    pub(super) fn add(&mut self, when: &str, times: usize, fault: Fault) {
        assert!(when.contains(' '), "'{when}' must be a method or '*', a space, part of a path");
        self.rules.push(Rule { when: when.to_owned(), left: times, fault });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn met(&self) -> usize {
        self.met
    }

    /// The faults this request meets.
    pub(super) fn meet(&mut self, request: &Logged) -> Vec<Fault> {
        let rules = self.rules.iter_mut();
        let met: Vec<Fault> = rules
            .filter(|rule| rule.left > 0 && matches(&rule.when, request))
            .map(|rule| {
                rule.left = rule.left.saturating_sub(usize::from(rule.left != usize::MAX));
                rule.fault.clone()
            })
            .collect();
        self.met += met.len();
        met
    }
}

/// Whether `when`, a method and a part of the target, is about this request.
pub(super) fn matches(when: &str, request: &Logged) -> bool {
    let (method, part) = when.split_once(' ').expect("a method and part of a path");
    (method == "*" || method == request.method) && request.target().contains(part)
}
