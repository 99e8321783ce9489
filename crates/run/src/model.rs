//! What a container is: what was asked for, what is true of it now, how it ended.

use crate::{ContainerId, PodId, Timestamp};
use corten_engine::Groups;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// When a container is started again after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it failed, at most `retries` times, or without end.
    OnFailure {
        /// How often at most.
        retries: Option<u32>,
    },
    /// Always, until stopped by hand.
    Always,
    /// As always; and a boot does not bring back what was stopped by hand.
    UnlessStopped,
}

/// Which runtime starts the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeChoice {
    /// Our own engine, in this process.
    Engine,
    /// An OCI runtime binary of the machine.
    Binary {
        /// Where it is.
        path: PathBuf,
    },
}

/// What becomes of limits and device rules where no control groups enforce them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// The container does not start.
    #[default]
    Required,
    /// It starts without: for images that are trusted with the machine.
    Waived,
}

/// A command that tells whether the container is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The command, run inside; exit code 0 is well.
    pub command: Vec<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
}

/// How much of the output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// A file is ended when it has this many bytes.
    pub file_bytes: u64,
    /// How many files are kept, the current one included.
    pub files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, files: 4 }
    }
}

/// Where the root file system came from, as words for lists; nobody here reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The reference as given.
    pub reference: String,
    /// The digest of the manifest.
    pub digest: String,
}

/// What is asked of a container; it never changes after `create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The first name; `None` makes one from the id.
    pub name: Option<String>,
    /// The image.
    pub origin: Origin,
    /// Labels, as given by the user.
    pub labels: BTreeMap<String, String>,
    /// What the program needs to make the root file system present at a start; nobody here reads it.
    #[serde(default)]
    pub recipe: serde_json::Value,
    /// The runtime.
    pub runtime: RuntimeChoice,
    /// What happens without control groups.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Who makes the control groups.
    #[serde(default)]
    pub groups: Groups,
    /// Whether the first process has a terminal; its config must say the same.
    #[serde(default)]
    pub terminal: bool,
    /// Whether standard input stays open for those who attach.
    pub open_stdin: bool,
    /// When to start again.
    pub restart: RestartPolicy,
    /// The signal of `stop`.
    pub stop_signal: i32,
    /// How long `stop` waits before it kills.
    pub stop_timeout: Duration,
    /// The health check.
    pub health: Option<HealthCheck>,
    /// Limits of the log.
    pub log: LogLimits,
    /// Whether the container goes away when it has ended.
    pub remove_at_end: bool,
    /// The pod whose namespaces it shares; [`crate::create_pod`] fills it in.
    #[serde(default)]
    pub pod: Option<PodId>,
}

impl Ask {
    /// The defaults: no restart, SIGTERM, ten seconds, no health check.
    pub fn new(runtime: RuntimeChoice) -> Self {
        Self {
            name: None,
            origin: Origin::default(),
            labels: BTreeMap::new(),
            recipe: serde_json::Value::Null,
            runtime,
            enforcement: Enforcement::default(),
            groups: Groups::default(),
            terminal: false,
            open_stdin: false,
            restart: RestartPolicy::No,
            stop_signal: libc::SIGTERM,
            stop_timeout: Duration::from_secs(10),
            health: None,
            log: LogLimits::default(),
            remove_at_end: false,
            pod: None,
        }
    }
}

/// A container: `container.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// When it was made.
    pub created: Timestamp,
    /// What is asked of it.
    pub asked: Ask,
}

/// How the first process of a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitStatus {
    /// It ended with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody saw its end: the monitor was killed.
    Unknown,
}

impl ExitStatus {
    /// The exit code a shell would show: 128 and the signal's number; 125 where nobody knows.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::Unknown => 125,
        }
    }
}

/// `exit.json`: the end of the last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// When.
    pub at: Timestamp,
    /// When that run began.
    pub started: Timestamp,
    /// How often the policy had started it again.
    pub restarts: u32,
    /// Why it did not start at all, where that is so.
    pub error: Option<String>,
    /// Whether the kernel ended a process of it because its memory ran out.
    #[serde(default)]
    pub out_of_memory: bool,
}

/// What the health check last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Not yet known.
    Starting,
    /// Well.
    Healthy,
    /// Failed as often in a row as was allowed.
    Unhealthy,
}

/// `state.json`: what the monitor last wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The boot it happened in: processes of another one are gone, whatever their numbers.
    #[serde(default)]
    pub(crate) boot: String,
    pub(crate) pid: u32,
    /// The start time of the process in clock ticks since boot; a reused pid has another.
    pub(crate) pid_start: u64,
    pub(crate) started: Timestamp,
    pub(crate) restarts: u32,
    pub(crate) health: Option<Health>,
}

impl Written {
    pub(crate) fn new(started: Timestamp) -> Self {
        let boot = crate::procfs::boot();
        Self { boot, pid: 0, pid_start: 0, started, restarts: 0, health: None }
    }

    /// Of a run that a loss of power ended, and of which nothing is known.
    pub(crate) fn lost() -> Self {
        let (boot, started) = (String::new(), Timestamp(0));
        Self { boot, pid: 0, pid_start: 0, started, restarts: 0, health: None }
    }

    /// The end of this run, for who sees that nobody saw it.
    pub(crate) fn unseen(&self, at: Timestamp) -> Ended {
        let (started, restarts) = (self.started, self.restarts);
        let (error, out_of_memory) = (None, false);
        Ended { status: ExitStatus::Unknown, at, started, restarts, error, out_of_memory }
    }
}

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Made, never started.
    Created,
    /// A monitor has it and its process is not up: it starts, restarts or ends.
    Between,
    /// Its process is up.
    Running,
    /// Its process is up and frozen.
    Paused,
    /// Its process has ended.
    Exited,
}

impl State {
    /// The state in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Between => "starting or ending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
        }
    }
}

/// All that is true of a container now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Whether a monitor watches it. A running container without one lost it to a kill.
    pub monitored: bool,
    /// The first process, as this machine numbers it, while it is up.
    pub pid: Option<u32>,
    /// The start of the present or last run.
    pub started: Option<Timestamp>,
    /// The last end; its status is `Unknown` when nobody saw it.
    pub exit: Option<Ended>,
    /// How often the policy started it again.
    pub restarts: u32,
    /// What the health check says.
    pub health: Option<Health>,
}

impl Status {
    /// Whether it runs, or will by itself.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Created | State::Exited)
    }
}
