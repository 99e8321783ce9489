//! Any OCI runtime binary of the machine, driven by the command line that runc and crun share.

use super::{Control, Execution, Freeze, Measure, Runtime, Streams, Usage, Wires};
use crate::error::{Doing, Result, RunError};
use crate::front::{self, Interaction};
use crate::relay;
use crate::{ContainerId, ExitStatus};
use oci_spec::runtime::Process;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The most that is read of what a runtime says.
const MAX_SAID: u64 = 64 << 10;
/// The exit code of what failed without one of its own.
const FAILED: u8 = 125;

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
        let message = last_line(said);
        let code = code_of(&message);
        RunError::Runtime { verb, object: id.to_string(), message, code }
    }

    fn run(&self, verb: &'static str, id: &ContainerId, command: Command) -> Result<()> {
        self.said(verb, id, command).map(drop)
    }

    fn said(&self, verb: &'static str, id: &ContainerId, mut command: Command) -> Result<Vec<u8>> {
        let out = command.output().doing(|| format!("run {}", self.path.display()))?;
        if out.status.success() {
            return Ok(out.stdout);
        }
        Err(self.failed(verb, id, &String::from_utf8_lossy(&out.stderr)))
    }
}

impl Runtime for RuntimeBinary {
    fn create(&self, id: &ContainerId, bundle: &Path, wires: Wires) -> Result<u32> {
        let beside = bundle.parent().unwrap_or(bundle);
        let (pid_file, log) = (beside.join("init.pid"), beside.join("runtime.log"));
        let mut command = self.command();
        command
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .arg("create")
            .arg("--bundle")
            .arg(bundle);
        command.arg("--pid-file").arg(&pid_file);
        match wires {
            Wires::Console(socket) => {
                command
                    .arg("--console-socket")
                    .arg(socket)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
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
        crate::place::write(&order, &bytes).doing(|| format!("write {}", order.display()))?;
        let mut command = self.command();
        command.arg("exec").arg("--process").arg(&order);
        if how.detach {
            command.arg("--detach");
        }
        command.arg(id.as_str());
        let terminal = process.terminal().unwrap_or(false);
        let (streams, relays) = match how.streams {
            None if how.detach => (Some(front::no_streams()?), None),
            None if !terminal => {
                let (streams, relays) = relay::caller_streams(how.interaction)?;
                (Some(streams), Some(relays))
            }
            other => (other, None),
        };
        match (streams, how.interaction) {
            (Some(streams), _) => wire(&mut command, streams),
            // It carries the terminal and the signals by itself.
            (None, Interaction::Talk) => drop(command.stdin(Stdio::inherit())),
            (None, Interaction::Watch) => drop(command.stdin(Stdio::null())),
        }
        let child = command.spawn().doing(|| format!("run {}", self.path.display()));
        drop(command);
        let ended = child.and_then(|child| front::ended_within(child.id(), how.limit));
        let _ = std::fs::remove_file(&order);
        relays.map_or(Ok(()), |relays| relays.finish(&|| false))?;
        ended?.ok_or_else(|| RunError::Late { id: id.clone(), verb: "end a process" })
    }
}

impl Measure for RuntimeBinary {
    fn processes(&self, id: &ContainerId) -> Result<Vec<u32>> {
        let mut command = self.command();
        command.args(["ps", "--format", "json"]).arg(id.as_str());
        let said = self.said("ps", id, command)?;
        serde_json::from_slice(&said).map_err(|error| self.failed("ps", id, &error.to_string()))
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage> {
        let mut command = self.command();
        command.args(["events", "--stats"]).arg(id.as_str());
        let said = self.said("events", id, command)?;
        let said: Value = serde_json::from_slice(&said)
            .map_err(|error| self.failed("events", id, &error.to_string()))?;
        Ok(usage(&said))
    }
}

/// What runc tells of a container.
fn usage(said: &Value) -> Usage {
    let at = |path: &str| said.pointer(path).and_then(Value::as_u64);
    let moved = |wanted: &str| {
        let all = said.pointer("/data/blkio/ioServiceBytesRecursive")?.as_array()?;
        let of = all.iter().filter(|one| {
            one.get("op").and_then(Value::as_str).is_some_and(|op| op.eq_ignore_ascii_case(wanted))
        });
        Some(of.filter_map(|one| one.get("value")?.as_u64()).sum())
    };
    Usage {
        memory: at("/data/memory/usage/usage"),
        memory_limit: at("/data/memory/usage/limit"),
        memory_peak: at("/data/memory/usage/max"),
        cpu: at("/data/cpu/usage/total"),
        cpu_user: at("/data/cpu/usage/user"),
        cpu_system: at("/data/cpu/usage/kernel"),
        throttled: at("/data/cpu/throttling/throttledTime"),
        pids: at("/data/pids/current"),
        pids_limit: at("/data/pids/limit"),
        read: moved("read"),
        written: moved("write"),
    }
}

/// The exit code for what a runtime says of a program that it cannot run.
fn code_of(message: &str) -> u8 {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["executable file not found", "no such file or directory", "No such file"]) {
        127
    } else if has(&["permission denied", "Permission denied", "exec format error"]) {
        126
    } else {
        FAILED
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

/// The last thing that a runtime said, be it in a log of JSON values or in plain lines.
fn last_line(said: &str) -> String {
    let logged = serde_json::Deserializer::from_str(said).into_iter::<Value>();
    let message = logged
        .map_while(std::result::Result::ok)
        .filter_map(|value| Some(value.get("msg")?.as_str()?.to_owned()))
        .last();
    let plain = || {
        let line = said.lines().rfind(|line| !line.trim().is_empty());
        line.unwrap_or("it says nothing").to_owned()
    };
    message.unwrap_or_else(plain)
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
    Err(RunError::OldRuntime {
        path: path.to_owned(),
        found: first.chars().take(80).collect(),
        wanted,
    })
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
        for fine in [
            "runc version 1.3.6+ds1",
            "runc version 1.4.3",
            "runc version 2.0.0",
            "crun version 1.28",
        ] {
            assert!(said(fine), "{fine}");
        }
        for old in [
            "runc version 1.3.5",
            "runc version 1.4.2",
            "runc version 1.1.99",
            "crun version 1.27.1",
            "runc version 1.5.0-rc.1",
            "runc version",
            "runc",
            "",
        ] {
            assert!(!said(old), "{old}");
        }
        assert!(said("youki version 0.7.0"));
    }
}
