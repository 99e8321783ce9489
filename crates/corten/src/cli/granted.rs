//! What the steps of `corten build` may have besides: agents, and what is allowed.

use std::path::PathBuf;

use clap::Args;
use corten_build::Entitlement;

use super::Failure;
use crate::ops::{AgentWord, GrantWords};

/// What steps may have.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct GrantArgs {
    /// An ssh agent for RUN --mount=type=ssh: default, or ID=SOCKET; without a socket that of SSH_AUTH_SOCK; may
    /// repeat.
    #[arg(long, value_name = "ID[=SOCKET]")]
    ssh: Vec<String>,
    /// What RUN may ask for: network.host (--network=host), security.insecure (--security=insecure); may repeat.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Entitlement>,
}

impl GrantArgs {
    pub(super) fn wanted(&self) -> Result<GrantWords, Failure> {
        let mut words =
            GrantWords { allowed: self.allow.iter().copied().collect(), ..GrantWords::default() };
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
        return Err(Failure::Usage(format!("--ssh {text} is not ID or ID=SOCKET")));
    }
    let word = match paths {
        None => AgentWord::OfCaller,
        Some(path) => AgentWord::Socket(PathBuf::from(path)),
    };
    Ok((id.to_owned(), word))
}
