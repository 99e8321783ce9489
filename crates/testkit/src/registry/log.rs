//! What a registry was asked, and how it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One request, as the registry saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// The path without the query, as sent.
    pub path: String,
    /// The query, as sent; empty without one.
    pub query: String,
    /// The `Host` header.
    pub host: String,
    /// The scheme of the `Authorization` header, `Basic` or `Bearer`; never its secret.
    pub authorization: Option<String>,
    /// The `User-Agent` header.
    pub agent: Option<String>,
    /// The `Range` or `Content-Range` header.
    pub range: Option<String>,
    /// Bytes of the body that arrived.
    pub received: u64,
    /// Bytes of the body that were sent, so far as the connection took them.
    pub sent: u64,
    /// The status of the answer; 0 where the connection was cut instead.
    pub status: u16,
}

impl Logged {
    /// Path and query.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// `METHOD target status`, for asserting on a list of requests.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.method, self.target(), self.status)
    }
}

/// A request while it is answered.
pub(super) struct Entry {
    pub(super) logged: Logged,
    pub(super) received: Arc<AtomicU64>,
    pub(super) sent: Arc<AtomicU64>,
}

impl Entry {
    pub(super) fn new(logged: Logged) -> Self {
        Self { logged, received: Arc::default(), sent: Arc::default() }
    }

    pub(super) fn snapshot(&self) -> Logged {
        let received = self.received.load(Ordering::SeqCst);
        Logged { received, sent: self.sent.load(Ordering::SeqCst), ..self.logged.clone() }
    }
}
