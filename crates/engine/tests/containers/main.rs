//! Containers for real: bundles run by the example binary, as root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod attacks;
mod groups;
mod handed;
mod init;
mod life;
mod machine;
mod process;
mod stages;
mod wishes;
