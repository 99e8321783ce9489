//! Containers for real, through the example binary: every verb, kills at any moment, twenty at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod kills;
mod machine;
mod pods;
mod policy;
mod runtimes;
mod terminal;
mod user;
mod verbs;
