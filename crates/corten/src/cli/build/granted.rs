//! What the steps of `corten build` may have besides: agents, and what is allowed.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use corten_build::Entitlement;

use super::Failure;
use crate::ops::{AgentWord, GrantWords};

/// What steps may have.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct GrantArgs {
    /// An ssh agent for RUN --mount=type=ssh: default, or ID=SOCKET, or ID=KEYFILE,KEYFILE; without a path the agent of
    /// SSH_AUTH_SOCK; may repeat.
    #[arg(long, value_name = "ID[=PATH]")]
    ssh: Vec<String>,
    /// What RUN may ask for: network.host (--network=host), security.insecure (--security=insecure), device[=NAME]
    /// (--device); may repeat.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<String>,
    /// When a RUN fails, open a shell [default: /bin/sh] at this terminal, in the state that it left.
    #[arg(long, value_name = "SHELL", num_args = 0..=1, require_equals = true, default_missing_value = "/bin/sh")]
    debug_shell: Option<String>,
}

impl GrantArgs {
    pub(super) fn wanted(&self) -> Result<GrantWords, Failure> {
        let mut words = GrantWords::default();
        for text in &self.allow {
            match text.strip_prefix("device") {
                Some("") => words.devices.allowed.push(String::new()),
                Some(name) if name.len() > 1 && name.starts_with('=') => {
                    words.devices.allowed.push(name.trim_start_matches('=').to_owned());
                }
                _ => {
                    let what = text.parse::<Entitlement>().map_err(Failure::Usage)?;
                    words.allowed.insert(what);
                }
            }
        }
        words.shell.clone_from(&self.debug_shell);
        let is_terminal = std::io::stdin().is_terminal()
            && std::io::stdout().is_terminal()
            && std::io::stderr().is_terminal();
        if words.shell.is_some() && !is_terminal {
            return Err(Failure::Usage(
                "--debug-shell: there is no terminal to open a shell at: standard input, output and error must be one"
                    .to_owned(),
            ));
        }
        for text in &self.ssh {
            let (id, agent) = agent(text)?;
            words.agents.insert(id, agent);
        }
        Ok(words)
    }
}

fn agent(text: &str) -> Result<(String, AgentWord), Failure> {
    let (id, paths) = text.split_once('=').map_or((text, None), |(id, paths)| (id, Some(paths)));
    if id.is_empty() {
        return Err(Failure::Usage(format!("--ssh {text} is not ID, ID=SOCKET or ID=KEYFILE")));
    }
    let word = match paths {
        None => AgentWord::OfCaller,
        Some(paths) => AgentWord::At(paths.split(',').map(PathBuf::from).collect()),
    };
    Ok((id.to_owned(), word))
}
