//! `corten run` on machines that differ, under images that attack, and under kills.
//!
//! ```text
//! matrix   one table of machines × one list of checks
//! escape   hostile images: the machine stays as it was, and an error names the thing
//! faults   kill -9 at random moments: nothing is lost, nothing is left
//! endings  what takes for ever ends when it is asked to, and holes cost nothing
//! kept     a store is its owner's, and what it keeps ready is what was made
//! walker   another user walks over what every verb leaves: nothing is open
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed, and figures are told.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod attack;
mod attacks;
mod attempts;
mod calls;
mod checks;
mod endings;
mod escape;
mod faults;
mod handed;
mod image;
mod kept;
mod kernel_links;
mod machine;
mod matrix;
mod walker;
