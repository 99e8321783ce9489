//! `corten build` of a project, as root of this machine, on a static busybox: phases, templates, attributes, tests that gate
//! the name, and the attestation of their result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr)]

#[allow(dead_code)]
#[path = "../build/bench.rs"]
mod bench;
#[allow(dead_code)]
#[path = "../run/image.rs"]
mod image;
mod phases;
mod trials;
