//! What starts containers: the ports, and any OCI runtime binary behind them.

use crate::error::{Doing, Result, RunError};
use crate::{ContainerId, ExitStatus, RuntimeChoice};
use oci_spec::runtime::Process;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The most that is read of what a runtime says.
const MAX_SAID: u64 = 64 << 10;

/// Standard input, output and error of a process.
#[derive(Debug)]
pub struct Streams {
    /// Standard input; `None` is the null device.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// Where the process of a container reads and writes.
#[derive(Debug)]
pub enum Wires {
    /// These descriptors.
    Streams(Streams),
    /// A terminal, whose master side is sent to the socket at this path.
    Console(PathBuf),
}

/// Makes a container from a bundle, starts it, deletes it (runtime-spec `runtime.md`, operations).
pub trait Runtime: Send + Sync {
    /// Creates the container; gives the pid of its first process, which waits for `start` and is a
    /// child or an orphaned grandchild of the caller, so that a subreaper can wait for it.
    fn create(&self, id: &ContainerId, bundle: &Path, wires: Wires) -> Result<u32>;
    /// Lets the first process run what the bundle says.
    fn start(&self, id: &ContainerId) -> Result<()>;
    /// Forgets the container, killing what still lives. A container nobody knows is forgotten already.
    fn delete(&self, id: &ContainerId) -> Result<()>;
}

/// Acts on a running container.
pub trait Control: Send + Sync {
    /// Sends a signal to the first process.
    fn signal(&self, id: &ContainerId, signal: i32) -> Result<()>;
    /// Freezes or thaws all processes.
    fn freeze(&self, id: &ContainerId, freeze: Freeze) -> Result<()>;
    /// Runs one more process inside, under all the limits of `process`, to its end; with `None` for the
    /// streams it has the caller's own, and with `Detach::Yes` it is not waited for.
    fn exec(&self, id: &ContainerId, process: &Process, how: Execution) -> Result<ExitStatus>;
}

/// Freeze or thaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// Stop all processes where they are.
    Pause,
    /// Let them go on.
    Resume,
}

/// How a process is run in a container.
#[derive(Debug, Default)]
pub struct Execution {
    /// Its streams; `None` gives it the caller's.
    pub streams: Option<Streams>,
    /// Whether to leave it running.
    pub detach: bool,
    /// Longest time; the caller of a detached process does not wait at all.
    pub limit: Option<std::time::Duration>,
}

/// Both ports, as a choice gives them.
pub trait Machine: Runtime + Control {}
impl<T: Runtime + Control> Machine for T {}

/// Opens the runtime of a choice; its own state stands in `root`.
pub(crate) fn open(choice: &RuntimeChoice, root: &Path) -> Result<Box<dyn Machine>> {
    match choice {
        RuntimeChoice::Binary { path } => Ok(Box::new(RuntimeBinary::trusted(path, root))),
    }
}

/// An OCI runtime binary, driven by the command line that runc and crun share.
#[derive(Clone, Debug)]
pub struct RuntimeBinary {
    path: PathBuf,
    root: PathBuf,
}

impl RuntimeBinary {
    /// The binary at `path`, once its `--version` shows no release with known escapes.
    pub fn checked(path: &Path, root: &Path) -> Result<Self> {
        let said = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .doing(|| format!("run {} --version", path.display()))?;
        check_version(path, &String::from_utf8_lossy(&said.stdout))?;
        Ok(Self::trusted(path, root))
    }

    /// The binary without asking for its version: `create` has asked.
    pub(crate) fn trusted(path: &Path, root: &Path) -> Self {
        Self { path: path.to_owned(), root: root.to_owned() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(&self.root).stdin(Stdio::null());
        command
    }

    fn failed(&self, verb: &'static str, id: &ContainerId, said: &str) -> RunError {
        RunError::Runtime { verb, object: id.to_string(), message: last_line(said) }
    }

    fn run(&self, verb: &'static str, id: &ContainerId, mut command: Command) -> Result<()> {
        let out = command.output().doing(|| format!("run {}", self.path.display()))?;
        if out.status.success() {
            return Ok(());
        }
        Err(self.failed(verb, id, &String::from_utf8_lossy(&out.stderr)))
    }
}

impl Runtime for RuntimeBinary {
    fn create(&self, id: &ContainerId, bundle: &Path, wires: Wires) -> Result<u32> {
        let beside = bundle.parent().unwrap_or(bundle);
        let (pid_file, log) = (beside.join("init.pid"), beside.join("runtime.log"));
        let mut command = self.command();
        command.arg("--log").arg(&log).arg("create").arg("--bundle").arg(bundle);
        command.arg("--pid-file").arg(&pid_file);
        match wires {
            Wires::Console(socket) => {
                command.arg("--console-socket").arg(socket).stdout(Stdio::null()).stderr(Stdio::null());
            }
            Wires::Streams(streams) => wire(&mut command, streams),
        }
        command.arg(id.as_str());
        let status = command.status().doing(|| format!("run {}", self.path.display()));
        drop(command);
        // What it said is read before the verdict, so that nothing of it stays for the next start.
        let said = read_some(&log);
        let _ = std::fs::remove_file(&log);
        if !status?.success() {
            return Err(self.failed("create", id, &said));
        }
        let pid = read_some(&pid_file).trim().parse().ok();
        pid.ok_or_else(|| self.failed("create", id, "no pid was written"))
    }

    fn start(&self, id: &ContainerId) -> Result<()> {
        let mut command = self.command();
        command.arg("start").arg(id.as_str());
        self.run("start", id, command)
    }

    fn delete(&self, id: &ContainerId) -> Result<()> {
        let mut command = self.command();
        command.args(["delete", "--force"]).arg(id.as_str());
        self.run("delete", id, command)
    }
}

impl Control for RuntimeBinary {
    fn signal(&self, id: &ContainerId, signal: i32) -> Result<()> {
        let mut command = self.command();
        command.arg("kill").arg(id.as_str()).arg(signal.to_string());
        self.run("kill", id, command)
    }

    fn freeze(&self, id: &ContainerId, freeze: Freeze) -> Result<()> {
        let verb = if freeze == Freeze::Pause { "pause" } else { "resume" };
        let mut command = self.command();
        command.arg(verb).arg(id.as_str());
        self.run(verb, id, command)
    }

    fn exec(&self, id: &ContainerId, process: &Process, how: Execution) -> Result<ExitStatus> {
        let order = self.root.join(format!(".exec-{}", ContainerId::random()?));
        let bytes = serde_json::to_vec(process)
            .map_err(|source| RunError::Damaged { path: order.clone(), source })?;
        std::fs::write(&order, bytes).doing(|| format!("write {}", order.display()))?;
        let mut command = self.command();
        command.arg("exec").arg("--process").arg(&order);
        if how.detach {
            command.arg("--detach");
        }
        command.arg(id.as_str());
        match how.streams {
            Some(streams) => wire(&mut command, streams),
            None => {
                command.stdin(Stdio::inherit());
            }
        }
        let child = command.spawn().doing(|| format!("run {}", self.path.display()));
        drop(command);
        let ended = child.and_then(|child| awaited(child, how.limit));
        let _ = std::fs::remove_file(&order);
        let status = ended?.ok_or_else(|| RunError::Late { id: id.clone(), verb: "end a process" })?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, Some(signal)) => ExitStatus::Signal(signal),
            _ => ExitStatus::Unknown,
        })
    }
}

/// Waits for a child, and kills it at the end of its time. The time is looked at every few
/// milliseconds: a pidfd would need one more descriptor and saves nothing here.
fn awaited(
    mut child: std::process::Child,
    limit: Option<std::time::Duration>,
) -> Result<Option<std::process::ExitStatus>> {
    let waiting = || "wait for the runtime".to_owned();
    let Some(limit) = limit else { return child.wait().map(Some).doing(waiting) };
    let begun = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().doing(waiting)? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            let _ = child.kill();
            child.wait().doing(waiting)?;
            return Ok(None);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn wire(command: &mut Command, streams: Streams) {
    command.stdin(streams.stdin.map_or_else(Stdio::null, Stdio::from));
    command.stdout(streams.stdout).stderr(streams.stderr);
}

fn read_some(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // A short read only shortens a message.
        let _ = file.take(MAX_SAID).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn last_line(said: &str) -> String {
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned()
}

/// The releases of runc in which the escapes known in 2026 are mended, by branch.
const RUNC: [[u32; 3]; 3] = [[1, 3, 6], [1, 4, 3], [1, 5, 0]];
const CRUN: [u32; 3] = [1, 28, 0];

fn check_version(path: &Path, said: &str) -> Result<()> {
    let first = said.lines().next().unwrap_or_default();
    let mut words = first.split_whitespace();
    let (name, version) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
    let wanted = "runc 1.3.6, 1.4.3 or 1.5.0 and newer, or crun 1.28 and newer";
    let fine = match (name, numbers(version)) {
        ("runc", Some(found)) => {
            found >= [1, 5, 0]
                || RUNC.iter().any(|least| found >= *least && found[..2] == least[..2])
        }
        ("crun", Some(found)) => found >= CRUN,
        // Another runtime is the choice of who names it, as long as it says what it is.
        (other, _) => !other.is_empty() && !matches!(other, "runc" | "crun"),
    };
    if fine {
        return Ok(());
    }
    Err(RunError::OldRuntime { path: path.to_owned(), found: first.chars().take(80).collect(), wanted })
}

/// The three numbers that a version begins with; a pre-release is older than its release, so it counts
/// as none.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let version = version.split('+').next()?;
    if version.contains('-') {
        return None;
    }
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_with_known_escapes_are_refused() {
        let said = |text: &str| check_version(Path::new("/x"), text).is_ok();
        for fine in ["runc version 1.3.6+ds1", "runc version 1.4.3", "runc version 2.0.0", "crun version 1.28"] {
            assert!(said(fine), "{fine}");
        }
        for old in ["runc version 1.3.5", "runc version 1.4.2", "runc version 1.1.99", "crun version 1.27.1",
            "runc version 1.5.0-rc.1", "runc version", "runc", ""] {
            assert!(!said(old), "{old}");
        }
        assert!(said("youki version 0.7.0"));
    }
}
