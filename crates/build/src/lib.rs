//! From a Dockerfile and a context to an image: each step's layer, from the cache or made, and the config that
//! says how the image runs.
//!
//! ```text
//! Dockerfile ─ Plan ─┬─ stage ─ step, step, … ─┐           (stages beside each other, steps in order)
//! inputs ────────────┘    │                     ├─ Built: config, layers
//! Bases ──────────────────┘  CacheKey ─ hit ────┘
//!                                     └ miss ─ COPY: context ─► tar    RUN: overlay ─ engine ─► upper ─► tar
//!
//! <place>/steps/<key>      which layer a step gave: a hint that is checked when it is used
//! <place>/files            digests of files of contexts, by what stat says of them
//! <place>/caches/<id>/     what RUN --mount=type=cache keeps
//! <place>/rooms/<n>/       one build's own, locked while it lives; swept by the next one
//!                          (what is fetched from elsewhere is kept by whoever fetches it: `Remotes`)
//! ```
//!
//! It is given a store, the snapshots, a port for the images that stages begin with and one for files and
//! repositories from elsewhere; it reads neither the environment nor the clock, and prints nothing.

mod adding;
mod address;
mod archive;
mod assemble;
mod base;
mod builder;
mod cache;
mod config;
mod context;
mod copy;
mod copying;
mod debugging;
mod error;
mod event;
mod flags;
mod foreign;
mod grants;
mod key;
mod lookup;
mod memo;
mod mounts;
mod origin;
mod pending;
mod plan;
mod remote;
mod rootfs;
mod running;
mod source;
mod sparse;
mod ssh;
mod stage;
mod unpacking;
mod words;
mod work;

pub use address::{Address, GitPlace, GitTimes, redacted};
pub use archive::plain_tar;
pub use base::{Base, Bases, BuiltLayer, NamedContext};
pub use builder::{BuildRequest, Builder, Built, ContextKind, SecretValue, StepNetwork, Times};
pub use cache::forget_lost;
pub use context::{ContextError, read_ignore};
pub use error::{BuildError, StepError};
pub use event::{BuildEvent, BuildListener};
pub use grants::{Entitlement, Grants};
pub use key::{CacheKey, KeyHasher};
pub use origin::{BuildOrigin, LayeredStep, OriginKind};
pub use plan::{Plan, Step};
pub use remote::{RemoteFile, Remotes};
