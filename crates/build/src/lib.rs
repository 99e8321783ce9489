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
//! <place>/origins/<key>    what the step was made by, for people who ask
//! <place>/builds/<time>-…  the steps of the last builds
//! <place>/lock             of the three
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
mod builds;
mod cache;
mod cache_mounts;
mod config;
mod contents;
mod context;
mod copy;
mod copying;
mod debugging;
mod devices;
mod disk;
mod error;
mod etc;
mod event;
mod explain;
mod flags;
mod foreign;
mod grants;
mod imports;
mod kept_memo;
mod kept_mounts;
mod key;
mod lookup;
mod memo;
mod mounts;
mod origin;
mod outcome;
mod owned;
mod pending;
mod plan;
mod remote;
mod request;
mod rootfs;
mod running;
mod source;
mod sparse;
mod ssh;
mod stage;
mod words;
mod work;

pub use address::{Address, GitPlace, GitTimes, redacted};
pub use archive::plain_tar;
pub use base::{Base, Bases, BuiltLayer, NamedContext};
pub use builder::{Builder, Built};
pub use builds::{BuildTitle, PastBuild, PastStep, StepEnd, kept_builds};
pub use cache::{CacheLock, KeptStep, StepOrigin, kept_steps, step_origin};
pub use context::{ContextError, read_ignore};
pub use devices::{StepDevice, StepDevices};
pub use disk::disk_size;
pub use error::{BuildError, StepError};
pub use event::{BuildEvent, BuildListener};
pub use explain::{
    ExplainedStep, InputChange, InputChangeKind, StepReason, explain_step, named_steps,
};
pub use grants::{Entitlement, Grants};
pub use imports::{Imports, StepResult};
pub use kept_memo::{KeptMemo, kept_memo};
pub use kept_mounts::{KeptMount, kept_mounts, pack_mount, sweep_killed};
pub use key::{CacheKey, KeyHasher, KeyInput};
pub use origin::{BuildOrigin, LayeredStep, OriginKind};
pub use plan::{Plan, Step};
pub use remote::{RemoteFile, Remotes};
pub use request::{BuildRequest, ContextKind, SecretValue, StepNetwork, Times};
pub use work::building_since;
