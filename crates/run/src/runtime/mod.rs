//! What starts containers: the ports, with the engine and any OCI runtime binary behind them.

mod binary;
mod engine;

pub use binary::RuntimeBinary;

use crate::error::Result;
use crate::front::Interaction;
use crate::model::Enforcement;
use crate::{Ask, ContainerId, Containers, ExitStatus, RuntimeChoice};
use corten_engine::{Groups, OomWatch};
use oci_spec::runtime::Process;
use serde::Serialize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Runs one more process inside, under all the limits of `process`, to its end.
    fn exec(&self, id: &ContainerId, process: &Process, how: Execution) -> Result<ExitStatus>;
}

/// Looks at a running container.
pub trait Measure: Send + Sync {
    /// Its processes, in the numbers of this machine.
    fn processes(&self, id: &ContainerId) -> Result<Vec<u32>>;
    /// What it uses.
    fn usage(&self, id: &ContainerId) -> Result<Usage>;
    /// What looks out for processes that the kernel ends for lack of memory, where somebody does.
    fn oom_watch(&self, _id: &ContainerId) -> Option<OomWatch> {
        None
    }
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
    /// Whether to leave it running: it is started and not waited for.
    pub detach: bool,
    /// Longest time, after which it is killed.
    pub limit: Option<Duration>,
    /// How the caller's terminal and signals reach it.
    pub interaction: Interaction,
}

/// What a container uses; what a runtime or the machine does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Bytes of memory now.
    pub memory: Option<u64>,
    /// The limit of memory in bytes.
    pub memory_limit: Option<u64>,
    /// The most bytes of memory there were.
    pub memory_peak: Option<u64>,
    /// Processor time, in nanoseconds.
    pub cpu: Option<u64>,
    /// The part of it in programs.
    pub cpu_user: Option<u64>,
    /// The part of it in the kernel.
    pub cpu_system: Option<u64>,
    /// Time for which it was held back, in nanoseconds.
    pub throttled: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// The limit of processes and threads.
    pub pids_limit: Option<u64>,
    /// Bytes read from disks.
    pub read: Option<u64>,
    /// Bytes written to disks.
    pub written: Option<u64>,
}

/// All ports, as a choice gives them.
pub(crate) trait Machine: Runtime + Control + Measure {}
impl<T: Runtime + Control + Measure> Machine for T {}

/// The engine, with its state below `root`.
pub(crate) fn native(root: PathBuf) -> engine::Native {
    engine::Native::new(root, Enforcement::Required, Groups::Auto)
}

/// Opens the runtime that a container wants.
pub(crate) fn open(containers: &Containers, wanted: &Ask) -> Box<dyn Machine> {
    let root = containers.runtime_root();
    match &wanted.runtime {
        RuntimeChoice::Engine => {
            Box::new(engine::Native::new(root, wanted.enforcement, wanted.groups.clone()))
        }
        RuntimeChoice::Binary { path } => Box::new(RuntimeBinary::trusted(path, &root)),
    }
}
