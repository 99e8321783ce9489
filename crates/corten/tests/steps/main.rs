//! `corten build begin`, `run`, `copy`, …, as root of this machine, on a static busybox: every word, one layer of several,
//! scripts, kills in the middle, two at once, the same bytes every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr)]

#[allow(dead_code)]
#[path = "../build/bench.rs"]
mod bench;
mod config;
mod files;
#[allow(dead_code)]
#[path = "../run/image.rs"]
mod image;
mod interrupted;
mod scripts;
mod stepper;
