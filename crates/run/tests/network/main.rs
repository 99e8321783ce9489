//! Networks for real: each test has a network namespace that plays the machine, others as containers and
//! one as the internet, and is shown by sockets. It needs root; without it the tests skip.
//!
//! ```text
//! internet 203.0.113.2 ── wan 203.0.113.1 machine ── corten0 ── containers
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::expect_used
)]

mod bridge;
mod leases;
mod pasta;
mod ports;
mod world;
