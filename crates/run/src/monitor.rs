//! The monitor: this program run again, one small process for each detached container.
//!
//! Its standard output is a pipe to who started it, for one line: `started PID` or `failed CODE WHY`.

use crate::error::{Doing, Result, RunError};
use crate::hub::{self, Hub};
use crate::log::LogWriter;
use crate::place::Place;
use crate::pod::holder;
use crate::supervise::{Side, Supervisor};
use crate::sys::Caught;
use crate::{Clock, Container, ContainerId, Containers, ExitStatus, Hold, Prepare, front};
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;

/// The first argument of a monitor.
const MONITOR: &str = "--run-monitor";
/// The first argument of the holder of a pod's namespaces.
pub(crate) const HOLDER: &str = "--run-holder";
/// The longest report.
const MAX_REPORT: u64 = 64 << 10;

/// Acts when the arguments (with the program's own name first) say that this process is a monitor, or holds
/// the namespaces of a pod. A program that uses this crate calls it first in `main`, after the engine's
/// stage, before any thread starts or file is opened; `None` means that it is an ordinary start.
pub fn monitor(
    arguments: &[OsString],
    clock: Clock,
    prepare: &dyn Prepare,
    holds: &dyn Hold,
) -> Option<ExitCode> {
    let [_, word, root, id] = arguments else { return None };
    let id = ContainerId::parse(id.to_str()?)?;
    let root = Path::new(root);
    let done = match word.to_str()? {
        MONITOR => watch(root, &id, clock, prepare).map(drop),
        HOLDER => holder::hold(&Containers::open(root, clock).ok()?, &id, holds),
        _ => return None,
    };
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(125) })
}

fn watch(root: &Path, id: &ContainerId, clock: Clock, prepare: &dyn Prepare) -> Result<ExitStatus> {
    let mut pipe = Some(keep_report()?);
    // Who asked may be gone; the container lives on all the same. Closing tells the end.
    let mut report = |line: String| pipe.take().map(|mut pipe| pipe.write_all(line.as_bytes()));
    let status = supervised(root, id, (clock, prepare), &mut |pid| {
        report(format!("started {pid}\n"));
    });
    if let Err(error) = &status {
        // Told last, so that nothing of it is in the way of who hears it.
        report(format!("failed {} {}\n", error.exit_code(), error.chain()));
    }
    status
}

fn supervised(
    root: &Path,
    id: &ContainerId,
    (clock, prepare): (Clock, &dyn Prepare),
    report: &mut dyn FnMut(u32),
) -> Result<ExitStatus> {
    let containers = Containers::open(root, clock)?;
    let supervisor = Supervisor::new(&containers, id, prepare, |container, place| {
        side(&containers, container, place)
    })?;
    stop_when_asked(&supervisor)?;
    let status = supervisor.watch(&mut |pid| {
        report(pid);
        // After the report, which does not wait for a disk.
        supervisor.place.sync("container.json");
    });
    supervisor.leave()?;
    status
}

/// Leaves what it was started from: its session, its descriptors but for the report's pipe, which is taken
/// away from standard output, so that nothing else holds it.
pub(crate) fn keep_report() -> Result<File> {
    let keeping = || "keep the report's pipe".to_owned();
    corten_engine::close_inherited().doing(|| "close inherited descriptors".to_owned())?;
    // It fails only for a leader of a group, which has left its session already.
    let _ = rustix::process::setsid();
    let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).doing(keeping)?;
    let null =
        File::options().write(true).open("/dev/null").doing(|| "open /dev/null".to_owned())?;
    rustix::stdio::dup2_stdout(&null).doing(keeping)?;
    Ok(File::from(stdout))
}

fn side(containers: &Containers, container: &Container, place: &Place) -> Result<Side> {
    let log = LogWriter::open(&place.file("log"), container.asked.log, containers.clock)?;
    let hub = Arc::new(Hub::new(log));
    hub::serve(&hub, place)?;
    Ok(Side::Hub(hub))
}

/// A monitor that is asked to end stops its container, and does not start it again.
fn stop_when_asked(supervisor: &Supervisor<'_>) -> Result<()> {
    let caught = Caught::these(&front::ENDING)?;
    let (place, id) = (supervisor.place.clone(), supervisor.container.id.clone());
    let signal = supervisor.container.asked.stop_signal;
    let machine = crate::runtime::open(supervisor.containers, &supervisor.container.asked);
    thread::spawn(move || {
        let mut byte = [0];
        loop {
            let _ = poll(&mut [PollFd::new(caught.pipe(), PollFlags::IN)], None);
            if rustix::io::read(caught.pipe(), &mut byte).is_ok_and(|got| got > 0) {
                let _ = place.write_bytes("stopped", crate::control::BY_SIGNAL);
                // One that has ended meanwhile needs no signal.
                let _ = machine.signal(&id, signal);
            }
        }
    });
    Ok(())
}

/// Starts a monitor for a container, and waits until it says that the container runs.
pub(crate) fn spawn(containers: &Containers, id: &ContainerId) -> Result<u32> {
    let said = run_again(containers, (MONITOR, id))?;
    if let Some(pid) = said.strip_prefix("started ").and_then(|pid| pid.parse().ok()) {
        return Ok(pid);
    }
    let failed = said.strip_prefix("failed ").and_then(|rest| rest.split_once(' '));
    let (code, message) = failed.unwrap_or(("125", "its monitor was killed"));
    let (code, message) = (code.parse().unwrap_or(125), message.to_owned());
    Err(RunError::Start { id: id.clone(), message, code })
}

/// Runs this program again for a container or a pod, and gives what it says before it goes on alone.
pub(crate) fn run_again(
    containers: &Containers,
    (word, id): (&str, &ContainerId),
) -> Result<String> {
    let starting = || format!("run this program again for {id}");
    let mut command = Command::new("/proc/self/exe");
    command.arg(word).arg(&containers.root).arg(id.as_str());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut child = command.spawn().doing(starting)?;
    let mut said = String::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MAX_REPORT).read_to_string(&mut said).doing(starting)?;
    }
    // One that failed is over; one that goes on is not waited for.
    let _ = child.try_wait();
    Ok(said.trim_end().to_owned())
}
