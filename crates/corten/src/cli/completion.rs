//! `corten completion`: scripts that complete the command line.

use clap::Args;

use crate::output::print_bytes;
use crate::{Exit, Failure};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "\
Example:
  corten completion bash > ~/.local/share/bash-completion/completions/corten")]
pub(super) struct CompletionArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(super) fn completion(args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "corten", &mut script);
    print_bytes(&script)?;
    Ok(Exit::Done)
}
