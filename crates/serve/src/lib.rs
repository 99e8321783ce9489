//! The distribution protocol: the server.
//!
//! One request walks through these rooms, each a module:
//!
//! ```text
//! server    a connection           hyper, limits, shutdown
//! dispatch  method, path, query    wire::Route::parse: a malformed name gets no further
//! access    who, and may they      Access::authorize: a Grant, or a challenge
//! routes    blob manifest upload tags referrers token: one file for each resource
//! gate      may this be here       Gate::admit, before a manifest is stored
//! memory    repositories and blobs
//! answer    status, headers, body; failure: every error as a coded answer
//! ```
//!
//! This is the memory form: content lives as long as the [`Memory`] it was given to.

mod access;
mod answer;
mod dispatch;
mod failure;
mod gate;
mod memory;
mod options;
mod received;
mod routes;
mod server;

pub use access::{
    Access, AllowAll, Asked, Credentials, Denial, Grant, Passwords, Principal, Roster,
    TokenService, Tokens,
};
pub use answer::Body;
pub use gate::{AdmitAll, Gate};
pub use memory::{Memory, MissingContent};
pub use options::{Locations, ServerLimits, ServerOptions, Switch};
pub use server::Server;
