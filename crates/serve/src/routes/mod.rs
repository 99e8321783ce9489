//! The rooms: one for each resource of the protocol.

pub(crate) mod blob;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod start;
pub(crate) mod token;
pub(crate) mod upload;

use bytes::Bytes;
use corten_registry::wire::Route;
use http::StatusCode;

use crate::answer::Answer;
use crate::dispatch::Call;
use crate::options::Locations;
use crate::server::Parts;

/// The type of everything that is answered in JSON, but for manifests and referrers.
const JSON: &str = "application/json";

/// This is a registry, and you are welcome (end-1).
pub(crate) fn base() -> Answer {
    Answer::with_body(StatusCode::OK, JSON, Bytes::from_static(b"{}"))
}

/// Where `route` is, as `Location` says it.
fn location(parts: &Parts, call: &Call, route: &Route) -> String {
    let path = route.to_path();
    match parts.options.locations {
        Locations::Relative => path,
        Locations::Absolute => format!("http://{}{path}", call.host),
    }
}
