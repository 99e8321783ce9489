//! The `corten` command: reads the environment, runs one verb, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    corten::cli::main()
}
