//! The verbs of corten as functions ([`ops`]), and the command line as a skin over them ([`cli`]).
//!
//! This is the only crate that knows the environment, the clock and the terminal; what it learns
//! there stands in a [`Context`] and goes down from here as values.

mod admission;
mod advice;
pub mod cli;
mod config;
mod context;
mod environment;
mod failure;
mod opened;
pub mod ops;
mod output;
mod own_store;
mod place;
mod plain;
mod reach;
mod rootless;
mod signal;

pub use admission::{Admitted, Evidence, Policy, Refusal};
pub use config::{Config, ConfigError, RegistryConfig};
pub use context::Context;
pub use environment::Environment;
pub use failure::{ContainerFailure, Exit, Failure};
pub use opened::{OpenSource, OpenTarget};
pub use place::{Place, PlaceError};
