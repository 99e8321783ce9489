//! `corten build`, as root of this machine, on a static busybox: every instruction, the cache, the same bytes every
//! time, hostile contexts, stages beside each other, and kills in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr)]

mod archives;
mod attests;
mod bench;
mod cache;
mod cache_kept;
mod cache_kills;
mod cache_seeds;
mod cache_travels;
mod contexts;
mod copies;
mod foreign;
mod grants;
mod hostile;
#[allow(dead_code)]
#[path = "../run/image.rs"]
mod image;
mod instructions;
mod kills;
mod outputs;
mod remote;
mod repositories;
mod runs;
mod seen;
mod site;
mod words;
