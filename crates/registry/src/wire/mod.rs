//! The words of the distribution protocol, as client and server both speak them: routes, error
//! bodies, and the headers `WWW-Authenticate`, `Range`, `Content-Range` and `Link`.
//!
//! Everything here is pure and total: text in, value out, and back. What comes from a peer is
//! bounded by named limits, and no input makes a parser fail in any other way than by its result.

mod challenge;
mod cursor;
mod error;
mod link;
mod percent;
mod range;
mod repository;
mod route;
mod scope;
mod write;

pub use challenge::{Bearer, Challenge, MAX_CHALLENGE};
pub use error::{ErrorCode, MAX_REFUSED, Reason, Refused};
pub use link::{Link, MAX_LINK};
pub use range::{Range, Served, Wanted};
pub use repository::{Repository, Session, Target};
pub use route::{MAX_PATH, MAX_QUERY, MAX_TAGS, Page, Part, Route, RouteError, Start};
pub use scope::{MAX_SCOPE, Scope};
