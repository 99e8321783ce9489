//! The test registry to try things against, or to run the specification's conformance suite on:
//! prints its address and serves until standard input ends. With the argument `sparse` it takes
//! manifests whose content is missing.

use std::io::Read as _;

use corten_testkit::{Setup, TestRegistry};

#[allow(clippy::print_stdout)] // The address is what a caller waits for.
fn main() -> std::io::Result<()> {
    let sparse = std::env::args().any(|argument| argument == "sparse");
    let setup = if sparse { Setup::default().sparse() } else { Setup::default() };
    let registry = TestRegistry::with(setup);
    println!("{}", registry.host());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
