//! What steps may have besides, found on this machine before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use corten_build::{Entitlement, Grants, StepDevices};
use corten_run::AgentPlace;

use super::cdi::{self, DeviceRules};
use super::keys::{SshKey, SshKeys};
use crate::{Context, Failure};

/// The variable by which programs find their agent.
const AGENT: &str = "SSH_AUTH_SOCK";
/// Most bytes of a file of a key.
const MAX_KEY: u64 = 64 * 1024;

/// Where an ssh agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentWord {
    /// Where the caller's variable says.
    OfCaller,
    /// At a socket, or in files of keys.
    At(Vec<PathBuf>),
}

/// What the steps of a build may have besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantWords {
    /// Agents by their ids.
    pub agents: BTreeMap<String, AgentWord>,
    /// What is allowed.
    pub allowed: BTreeSet<Entitlement>,
    /// Which devices of the machine they may have.
    pub devices: DeviceRules,
    /// The shell that opens when a RUN fails.
    pub shell: Option<String>,
}

/// What is granted.
pub(in crate::ops) fn grants(context: &Context, words: &GrantWords) -> Result<Grants, Failure> {
    let (allowed, shell) = (words.allowed.clone(), words.shell.clone());
    // What is wrong with them is the matter of steps that want one.
    let devices = cdi::devices(&context.device_specs(), &words.devices).unwrap_or_else(|error| {
        StepDevices { trouble: Some(error.to_string()), ..StepDevices::default() }
    });
    let mut grants = Grants { allowed, devices, shell, ..Grants::default() };
    for (id, word) in &words.agents {
        let paths: Vec<PathBuf> = match word {
            AgentWord::At(paths) => paths.iter().map(|path| context.here().join(path)).collect(),
            AgentWord::OfCaller => match context.environment().variable(AGENT) {
                Some(path) => vec![context.here().join(path)],
                None => {
                    let text = format!(
                        "--ssh {id}: {AGENT} is not set: start ssh-agent, or name a socket or files of keys with {id}=PATH"
                    );
                    return Err(Failure::Usage(text));
                }
            },
        };
        grants.agents.insert(id.clone(), place(id, &paths)?);
    }
    Ok(grants)
}

/// A socket, or keys of files, which this process answers for.
fn place(id: &str, paths: &[PathBuf]) -> Result<AgentPlace, Failure> {
    let mut keys = Vec::new();
    for path in paths {
        let object = || format!("--ssh {id}: {}", path.display());
        let failed = |source| Failure::Io { object: object(), action: "reading", source };
        let found = std::fs::metadata(path).map_err(failed)?;
        if found.file_type().is_socket() {
            return match paths.len() {
                1 => Ok(AgentPlace::Socket(path.clone())),
                _ => Err(Failure::Usage(format!("{} is a socket, which stands alone", object()))),
            };
        }
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
            .map_err(failed)?;
        let key =
            SshKey::parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", object())))?;
        keys.push(key);
    }
    Ok(AgentPlace::Own(Arc::new(SshKeys(keys))))
}
