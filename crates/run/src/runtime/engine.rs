//! The engine behind the ports: no other program is needed.

use super::{Control, Execution, Freeze, Measure, Runtime, Streams, Usage, Wires};
use crate::console::Console;
use crate::error::{Doing, Result, RunError};
use crate::front::{self, Front};
use crate::model::Enforcement;
use crate::{ContainerId, ExitStatus};
use corten_engine::{Create, Engine, Exec, Force, Groups, OomWatch, Stdio, Unenforced, Unwritten};
use oci_spec::runtime::Process;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The engine, with its own state below the containers' root.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    engine: Engine,
}

impl Native {
    pub(crate) fn new(root: PathBuf, enforcement: Enforcement, groups: Groups) -> Self {
        let unenforced = match enforcement {
            Enforcement::Required => Unenforced::Refuse,
            Enforcement::Waived => Unenforced::Ignore,
        };
        let program = PathBuf::from("/proc/self/exe");
        Self { engine: Engine { root, program, groups, unenforced, tell: |_| () } }
    }

    /// Creates a container with variables that are written nowhere.
    pub(crate) fn create_with(
        &self,
        id: &ContainerId,
        bundle: &Path,
        wires: Wires,
        env: &Unwritten,
    ) -> Result<u32> {
        let mut wanted =
            Create { id: id.as_str().to_owned(), bundle: bundle.to_owned(), ..Create::default() };
        match wires {
            Wires::Streams(streams) => wanted.stdio = stdio(streams)?,
            Wires::Console(socket) => wanted.console_socket = Some(socket),
        }
        wanted.env = env.clone();
        let state = told("create", id, corten_engine::create(&self.engine, &wanted))?;
        Ok(state.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0))
    }
}

/// Names the verb and the container of what the engine said.
fn told<T>(
    verb: &'static str,
    id: &ContainerId,
    done: std::result::Result<T, corten_engine::Error>,
) -> Result<T> {
    done.map_err(|error| RunError::Runtime {
        verb,
        object: id.to_string(),
        message: error.to_string(),
        code: error.exit_code(),
    })
}

fn stdio(streams: Streams) -> Result<Stdio> {
    let input = match streams.stdin {
        Some(input) => input,
        None => File::open("/dev/null").doing(|| "open /dev/null".to_owned())?.into(),
    };
    Ok(Stdio { input: Some(input), output: Some(streams.stdout), error: Some(streams.stderr) })
}

impl Runtime for Native {
    fn create(&self, id: &ContainerId, bundle: &Path, wires: Wires) -> Result<u32> {
        self.create_with(id, bundle, wires, &Unwritten::default())
    }

    fn start(&self, id: &ContainerId) -> Result<()> {
        told("start", id, corten_engine::start(&self.engine, id.as_str()))
    }

    fn delete(&self, id: &ContainerId) -> Result<()> {
        told("delete", id, corten_engine::delete(&self.engine, id.as_str(), Force::Yes))
    }
}

impl Control for Native {
    fn signal(&self, id: &ContainerId, signal: i32) -> Result<()> {
        told("signal", id, corten_engine::kill(&self.engine, id.as_str(), signal))
    }

    fn freeze(&self, id: &ContainerId, freeze: Freeze) -> Result<()> {
        let (engine, name) = (&self.engine, id.as_str());
        match freeze {
            Freeze::Pause => told("pause", id, corten_engine::pause(engine, name)),
            Freeze::Resume => told("resume", id, corten_engine::resume(engine, name)),
        }
    }

    fn exec(&self, id: &ContainerId, process: &Process, how: Execution) -> Result<ExitStatus> {
        let console = match process.terminal().unwrap_or(false) {
            true => Some(Console::listen(&self.engine.root, id)?),
            false => None,
        };
        // Before the process is there, so that no signal for it is lost.
        let mut front = match how.streams {
            None if !how.detach => Some(Front::open(how.interaction)?),
            _ => None,
        };
        let streams = match (how.streams, &mut front) {
            (Some(streams), _) => Some(streams),
            // Where there is a terminal, it takes their place before the program runs.
            (None, Some(front)) if console.is_none() => Some(front.streams()?),
            (None, _) => Some(front::no_streams()?),
        };
        let wanted = Exec {
            process: process.clone(),
            console_socket: console.as_ref().map(Console::path),
            stdio: streams.map(stdio).transpose()?.unwrap_or_default(),
            ..Exec::default()
        };
        let (begun, asked) = (Instant::now(), std::cell::Cell::new(false));
        let is_unwanted = || {
            let by_signal = front.as_ref().is_some_and(Front::is_asked_to_end);
            asked.set(asked.get() || by_signal);
            asked.get() || how.limit.is_some_and(|limit| begun.elapsed() > limit)
        };
        let started = corten_engine::exec_while(&self.engine, id.as_str(), &wanted, &is_unwanted);
        let pid = told("exec", id, started)?;
        // Closes this side of the streams.
        drop(wanted);
        let pid = u32::try_from(pid).unwrap_or(0);
        let master = console.map(|console| console.accept(id)).transpose()?;
        match (&mut front, how.detach) {
            (_, true) => Ok(ExitStatus::Code(0)),
            (Some(front), false) => {
                front.connect(master)?;
                let status = front.accompany(pid, &|signal| crate::sys::signal(pid, signal))?;
                front.trouble().map(|()| status)
            }
            (None, false) => {
                let ended = front::ended_within(pid, how.limit)?;
                ended.ok_or(RunError::Late { id: id.clone(), verb: "end a process" })
            }
        }
    }
}

impl Measure for Native {
    fn processes(&self, id: &ContainerId) -> Result<Vec<u32>> {
        told("list the processes of", id, corten_engine::processes(&self.engine, id.as_str()))
    }

    fn oom_watch(&self, id: &ContainerId) -> Option<OomWatch> {
        corten_engine::oom_watch(&self.engine, id.as_str()).ok().flatten()
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage> {
        let stats = told("measure", id, corten_engine::stats(&self.engine, id.as_str()))?;
        Ok(Usage {
            memory: stats.memory_current,
            memory_limit: stats.memory_limit,
            memory_peak: stats.memory_peak,
            cpu: stats.cpu_usage,
            cpu_user: stats.cpu_user,
            cpu_system: stats.cpu_system,
            throttled: stats.cpu_throttled,
            pids: stats.pids_current,
            pids_limit: stats.pids_limit,
            read: stats.io_read,
            written: stats.io_written,
        })
    }
}
