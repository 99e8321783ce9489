//! The command line against networks that cut, stall and lie, against being killed, and against
//! other processes at the same store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Seeds and figures are told by functions that clippy does not take for tests.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod home;
mod killed;
mod kills;
mod layout;
mod peers;
mod pulling;
mod pushing;
mod resuming;
mod steps;
mod together;

use corten_testkit::images::{ImageMaker, TestImage};

/// Bytes of the largest layer: many packets, and a matter of milliseconds.
const LAYER: u64 = 300_000;

/// An image of three layers of noise, whose bytes follow from `seed`.
fn image(seed: u64) -> TestImage {
    let maker = ImageMaker::new().noise_layer(seed, LAYER);
    maker.noise_layer(seed + 1_000, LAYER / 4).noise_layer(seed + 2_000, 5_000).build()
}

/// The blob of the largest layer of [`image`]: its digest, and its size in bytes.
fn large_layer(image: &TestImage) -> (&corten_spec::Digest, u64) {
    let (descriptor, _) = image.blobs().iter().max_by_key(|(blob, _)| blob.size).unwrap();
    (&descriptor.digest, descriptor.size)
}
