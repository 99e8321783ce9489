//! The test registry to try things against, or to run the specification's conformance suite on:
//! prints its address and serves until standard input ends. With the argument `sparse` it takes
//! manifests whose content is missing.

use std::io::Read as _;

use corten_serve::{ServerOptions, Switch};
use corten_testkit::{Setup, TestRegistry};

#[allow(clippy::print_stdout)] // The address is what a caller waits for.
fn main() -> std::io::Result<()> {
    let sparse = std::env::args().any(|argument| argument == "sparse");
    let sparse = if sparse { Switch::On } else { Switch::Off };
    let options = ServerOptions { sparse, ..ServerOptions::default() };
    let registry = TestRegistry::with(Setup { options, ..Setup::default() });
    println!("{}", registry.host());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
