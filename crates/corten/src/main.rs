//! The corten command.
fn main() {}
