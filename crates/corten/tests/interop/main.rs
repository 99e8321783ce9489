//! The built program beside the tools of the field: what one writes the other reads, byte for
//! byte, and a real root filesystem runs. A missing peer is told and its tests are skipped; with
//! `CORTEN_PEERS=required` they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attempts;
mod bench;
mod bundles;
mod crane;
mod docker;
mod forms;
mod main_job;
mod oras;
mod places;
mod podman;
mod real;
mod referrers;
mod registry;
mod runtime;
mod runtimetest;
mod skopeo;
mod store;
mod tree;
mod trees;
mod umoci;
mod wire;
