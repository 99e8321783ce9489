//! What tests share: image makers, an in-process registry with faults on demand, a proxy that
//! breaks connections, scratch directories, redactions, and the peers of this machine.
//!
//! Only tests use this crate, so it fails as tests do: by panicking with words that say why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod images;
mod noise;
mod peer;
mod proxy;
mod redact;
mod registry;
mod scratch;
pub mod tar;
mod terminal;

pub use noise::{Dice, Noise};
pub use peer::{DockerRegistry, Peer, Ran};
pub use proxy::{FaultProxy, Flow, Harm, Mischief, Strike};
pub use redact::redact;
pub use registry::{Auth, Fault, Feature, Logged, Setup, TestRegistry};
pub use scratch::{Scratch, scratch};
pub use terminal::TerminalUser;
