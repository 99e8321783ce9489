//! The project's own chores: the check that the house is in order, and the reference pages that are
//! made from the binary and from the sources. Run as `cargo xtask`.

pub mod house;
pub mod limits;
pub mod pages;
