//! The hooks of a container's life (runtime-spec, config, "POSIX-platform Hooks").

use crate::error::{Doing, Error, Result};
use crate::order::Order;
use oci_spec::runtime::{ContainerState, Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The state that hooks get on their standard input.
pub(crate) fn state(order: &Order, status: ContainerState, pid: u32) -> State {
    let mut state = State::default();
    state
        .set_version(order.spec.version().clone())
        .set_id(order.id.clone())
        .set_status(status)
        .set_pid(i32::try_from(pid).ok().filter(|pid| *pid > 0))
        .set_bundle(order.bundle.clone())
        .set_annotations(order.spec.annotations().clone());
    state
}

/// Runs hooks in their order; the first that fails ends it.
pub(crate) fn run_all(hooks: &Option<Vec<Hook>>, state: &State) -> Result<()> {
    for hook in hooks.as_deref().unwrap_or_default() {
        run(hook, state)?;
    }
    Ok(())
}

fn run(hook: &Hook, state: &State) -> Result<()> {
    let failed = |detail: String| Error::Hook { path: hook.path().clone(), detail };
    if !hook.path().is_absolute() {
        return Err(failed("the path is not absolute".to_owned()));
    }
    let timeout = match hook.timeout() {
        Some(seconds) if seconds <= 0 => {
            return Err(failed("the timeout is not above zero".to_owned()));
        }
        timeout => timeout,
    };
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // One that names none has that of the runtime, as everywhere in the field.
    if let Some(all) = hook.env() {
        command.env_clear();
        command.envs(all.iter().filter_map(|pair| pair.split_once('=')));
    }
    let text =
        serde_json::to_vec(state).map_err(std::io::Error::from).doing(|| "write the state")?;
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read it; the state is smaller than a pipe, so this does not wait.
        let _ = input.write_all(&text);
    }
    if !ends_in_time(&child, timeout)? {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("did not end within {} s", timeout.unwrap_or(0))));
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    match (status.success(), status.code()) {
        (true, _) => Ok(()),
        (false, Some(code)) => Err(failed(format!("hook failed with exit code {code}"))),
        (false, None) => Err(failed(format!("hook ended with {status}"))),
    }
}

fn ends_in_time(child: &Child, timeout: Option<i64>) -> Result<bool> {
    let Some(seconds) = timeout else { return Ok(true) };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(true) };
    let held = pidfd_open(pid, PidfdFlags::empty()).doing(|| "hold a hook")?;
    let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let mut ends = [PollFd::new(&held, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ends, Some(&limit)));
    Ok(ready.doing(|| "wait for a hook")? > 0)
}
