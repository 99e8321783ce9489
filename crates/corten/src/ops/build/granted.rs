//! What steps may have besides, found on this machine before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use corten_build::{Entitlement, Grants};

use crate::{Context, Failure};

/// The variable by which programs find their agent.
const AGENT: &str = "SSH_AUTH_SOCK";

/// Where an ssh agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentWord {
    /// Where the caller's variable says.
    OfCaller,
    /// At a socket.
    Socket(PathBuf),
}

/// What the steps of a build may have besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantWords {
    /// Agents by their ids.
    pub agents: BTreeMap<String, AgentWord>,
    /// What is allowed.
    pub allowed: BTreeSet<Entitlement>,
    /// The shell that opens when a RUN fails.
    pub shell: Option<String>,
}

/// What is granted.
pub(in crate::ops) fn grants(context: &Context, words: &GrantWords) -> Result<Grants, Failure> {
    let (allowed, shell) = (words.allowed.clone(), words.shell.clone());
    let mut grants = Grants { allowed, shell, ..Grants::default() };
    for (id, word) in &words.agents {
        let path = match word {
            AgentWord::Socket(path) => context.here().join(path),
            AgentWord::OfCaller => match context.environment().variable(AGENT) {
                Some(path) => context.here().join(path),
                None => {
                    let text = format!(
                        "--ssh {id}: {AGENT} is not set: start ssh-agent, or name a socket with {id}=SOCKET"
                    );
                    return Err(Failure::Usage(text));
                }
            },
        };
        check(id, &path)?;
        grants.agents.insert(id.clone(), path);
    }
    Ok(grants)
}

fn check(id: &str, path: &Path) -> Result<(), Failure> {
    let object = || format!("--ssh {id}: {}", path.display());
    let found = std::fs::metadata(path).map_err(|source| Failure::Io {
        object: object(),
        action: "opening",
        source,
    })?;
    if found.file_type().is_socket() {
        return Ok(());
    }
    let text =
        format!("{} is no socket: keys of files are given to an agent with ssh-add", object());
    Err(Failure::Usage(text))
}
