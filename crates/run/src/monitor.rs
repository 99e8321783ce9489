//! The monitor: this program run again, one small process for each detached container.
//!
//! Its standard output is a pipe to who started it, for one line: `started PID` or `failed WHY`.

use crate::error::{Doing, Result, RunError};
use crate::supervise::Supervisor;
use crate::{Clock, ContainerId, Containers};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The first argument of a monitor.
const MONITOR: &str = "--run-monitor";
/// The longest report.
const MAX_REPORT: u64 = 64 << 10;

/// Acts when the arguments (with the program's own name first) say that this process is a monitor. A
/// program that uses this crate calls it first in `main`, after the engine's stage, before any thread
/// starts; `None` means that it is an ordinary start.
pub fn monitor(arguments: &[OsString], clock: Clock) -> Option<ExitCode> {
    let [_, word, root, id] = arguments else { return None };
    if word != MONITOR {
        return None;
    }
    let id = ContainerId::parse(id.to_str()?)?;
    Some(match watch(Path::new(root), &id, clock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(125),
    })
}

fn watch(root: &Path, id: &ContainerId, clock: Clock) -> Result<()> {
    let stdout = rustix::io::dup(rustix::stdio::stdout()).doing(|| "keep the report's pipe".to_owned())?;
    let null = File::options().write(true).open("/dev/null").doing(|| "open /dev/null".to_owned())?;
    rustix::stdio::dup2_stdout(&null).doing(|| "let go of the report's pipe".to_owned())?;
    rustix::io::fcntl_setfd(&stdout, rustix::io::FdFlags::CLOEXEC)
        .doing(|| "keep the report's pipe".to_owned())?;
    // It fails only for a leader of a group, which has left its session already.
    let _ = rustix::process::setsid();
    let mut pipe = Some(File::from(stdout));
    let mut report = |started: std::result::Result<u32, &RunError>| {
        let line = match started {
            Ok(pid) => format!("started {pid}\n"),
            Err(error) => format!("failed {}\n", error.chain()),
        };
        // Who asked may be gone; the container lives on all the same. Closing tells the end.
        pipe.take().map(|mut pipe| pipe.write_all(line.as_bytes()));
    };
    let containers = Containers::open(root, clock)?;
    let supervised = Supervisor::new(&containers, id, None);
    let supervisor = supervised.inspect_err(|error| report(Err(error)))?;
    let remove = supervisor.container.asked.remove_at_end;
    let forward = crate::forward::terminations(&supervisor);
    let watched = forward.and_then(|()| supervisor.watch(&mut report));
    watched.inspect_err(|error| report(Err(error)))?;
    if remove {
        crate::remove(&containers, id, crate::Force::Yes, &crate::no_mounts)?;
    }
    Ok(())
}

/// Starts a monitor for a container, and waits until it says that the container runs.
pub(crate) fn spawn(containers: &Containers, id: &ContainerId) -> Result<u32> {
    let starting = || format!("start the monitor of container {id}");
    let mut command = Command::new("/proc/self/exe");
    command.arg(MONITOR).arg(&containers.root).arg(id.as_str());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut child = command.spawn().doing(starting)?;
    let mut said = String::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MAX_REPORT).read_to_string(&mut said).doing(starting)?;
    }
    let said = said.trim_end();
    if let Some(pid) = said.strip_prefix("started ").and_then(|pid| pid.parse().ok()) {
        return Ok(pid);
    }
    let _ = child.wait();
    let message = said.strip_prefix("failed ").unwrap_or("its monitor was killed").to_owned();
    Err(RunError::Start { id: id.clone(), message })
}
