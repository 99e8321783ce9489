//! One more process in a container that runs.

use crate::error::{Result, RunError};
use crate::front::Interaction;
use crate::runtime::Execution;
use crate::{ContainerId, Containers, ExitStatus, State, control, event, front, prepare};
use oci_spec::runtime::{BoxBuilder, LinuxCapabilities, Process, User};
use std::collections::HashSet;
use std::path::PathBuf;

/// A process to run in a container. What is not said is as for its first process.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables as `NAME=VALUE`, besides or instead of the container's.
    pub env: Vec<String>,
    /// The working directory.
    pub cwd: Option<PathBuf>,
    /// The user, in numbers of the container.
    pub user: Option<User>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it gets the caller's standard input.
    pub interactive: bool,
    /// Whether it is left running.
    pub detach: bool,
}

/// Runs a process in a running container, to its end unless it is detached. It has the caller's standard
/// streams, or a terminal that the caller's keys reach; it has no more rights than the container.
pub fn exec(containers: &Containers, id: &ContainerId, wanted: &ExecRequest) -> Result<ExitStatus> {
    control::allowed(containers, id, &[State::Running], "run one more process")?;
    let container = containers.container(id)?;
    let spec = prepare::config(&containers.place(id))?;
    let Some(process) = spec.process() else {
        let state = "without a process in its config".to_owned();
        return Err(RunError::State { id: id.clone(), state, verb: "run one more process" });
    };
    let mut process = further(process, wanted);
    if let (true, Some(size)) = (wanted.terminal, front::own_size()) {
        // Said beforehand: it runs before its terminal comes here.
        let console = BoxBuilder::default().height(size.ws_row).width(size.ws_col).build();
        process.set_console_size(console.ok());
    }
    if wanted.detach && wanted.terminal {
        let state = "not to be watched".to_owned();
        return Err(RunError::State { id: id.clone(), state, verb: "have a terminal" });
    }
    let interaction = if wanted.interactive { Interaction::Talk } else { Interaction::Watch };
    event::note(containers, id, "exec", None);
    let how = Execution { detach: wanted.detach, interaction, ..Execution::default() };
    crate::runtime::open(containers, &container.asked).exec(id, &process, how)
}

/// The first process's settings with those of the request.
fn further(first: &Process, wanted: &ExecRequest) -> Process {
    let mut process = first.clone();
    process.set_args(Some(wanted.args.clone()));
    process.set_terminal(Some(wanted.terminal)).set_console_size(None);
    let mut env = first.env().clone().unwrap_or_default();
    for pair in &wanted.env {
        let name = pair.split_once('=').map_or(pair.as_str(), |(name, _)| name);
        env.retain(|old| old.split_once('=').map_or(old.as_str(), |(old, _)| old) != name);
        env.push(pair.clone());
    }
    process.set_env(Some(env));
    if let Some(cwd) = &wanted.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = &wanted.user {
        process.set_user(user.clone());
        if let Some(rights) = first.capabilities() {
            process.set_capabilities(Some(rights_of(user, rights)));
        }
    }
    process
}

/// The capabilities of another user: root has all that the container may have, others none.
fn rights_of(user: &User, first: &LinuxCapabilities) -> LinuxCapabilities {
    let mut rights = first.clone();
    let held = match user.uid() {
        0 => first.bounding().clone().unwrap_or_default(),
        _ => HashSet::new(),
    };
    rights.set_effective(Some(held.clone())).set_permitted(Some(held));
    rights.set_inheritable(Some(HashSet::new())).set_ambient(Some(HashSet::new()));
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_further_process_is_the_first_one_but_for_what_was_asked() {
        let first: Process = serde_json::from_value(json!({
            "args": ["main"], "cwd": "/srv", "env": ["A=1", "B=2", "C"], "terminal": true,
            "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": true,
            "capabilities": { "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN"] }
        }))
        .unwrap();
        let user: User = serde_json::from_value(json!({ "uid": 7, "gid": 8 })).unwrap();
        let wanted = ExecRequest {
            args: vec!["sh".into()],
            env: vec!["B=3".into(), "C=4".into()],
            user: Some(user),
            ..ExecRequest::default()
        };
        let process = serde_json::to_value(further(&first, &wanted)).unwrap();
        assert_eq!(process["args"], json!(["sh"]));
        assert_eq!(process["cwd"], "/srv");
        assert_eq!(process["env"], json!(["A=1", "B=3", "C=4"]));
        assert_eq!(process["terminal"], false);
        assert_eq!(process["noNewPrivileges"], true);
        assert_eq!(process["user"]["uid"], 7);
        assert_eq!(process["capabilities"]["bounding"], json!(["CAP_CHOWN"]));
        assert_eq!(process["capabilities"]["effective"], json!([]));
        let same = further(&first, &ExecRequest { args: vec![], ..ExecRequest::default() });
        assert_eq!(same.capabilities(), first.capabilities());
    }
}
