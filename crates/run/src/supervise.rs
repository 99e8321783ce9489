//! One process watches one container: starts it, carries its output, waits, starts it again.

use crate::error::{Doing, Result, RunError};
use crate::hub::{self, Hub, Local};
use crate::log::{LogWriter, Stream};
use crate::model::Written;
use crate::place::{Lock, Place};
use crate::runtime::{Machine, Streams, Wires};
use crate::{Container, ContainerId, Containers, Exit, ExitStatus, Health, RestartPolicy, console, event, health};
use oci_spec::runtime::Spec;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::fs::File;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The pause before the first restart; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length was a good one: the pause begins anew.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long the last output is awaited after the end, should a stray process hold the pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Who watches: holds the lock for as long as it lives.
pub(crate) struct Supervisor {
    pub(crate) containers: Containers,
    pub(crate) container: Container,
    pub(crate) place: Place,
    pub(crate) machine: Box<dyn Machine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) spec: Spec,
    pub(crate) written: Mutex<Written>,
    _lock: Lock,
}

/// A run that has begun.
struct Begun {
    pid: u32,
    outputs: usize,
    done: Receiver<()>,
}

impl Supervisor {
    /// Takes the container's lock and all that watching needs.
    pub(crate) fn new(containers: &Containers, id: &ContainerId, local: Option<Local>) -> Result<Self> {
        let place = containers.place(id);
        let Some(lock) = place.lock()? else {
            let state = crate::status(containers, id)?.state.word().to_owned();
            return Err(RunError::State { id: id.clone(), state, verb: "start" });
        };
        let container = containers.container(id)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .doing(|| "become a subreaper".to_owned())?;
        let config = place.bundle().join("config.json");
        let spec = crate::spec::read(&config)?;
        let machine = crate::runtime::open(&container.asked.runtime, &containers.runtime_root())?;
        let log = LogWriter::open(&place.file("log"), container.asked.log, containers.clock)?;
        let hub = Arc::new(Hub::new(log, local));
        let written = Mutex::new(Written {
            pid: 0,
            pid_start: 0,
            started: (containers.clock)(),
            restarts: 0,
            health: None,
        });
        let containers = containers.clone();
        Ok(Self { containers, container, place, machine, hub, spec, written, _lock: lock })
    }

    /// Watches until the container has ended for good. `report` is told once whether it started.
    pub(crate) fn watch(self, report: &mut dyn FnMut(std::result::Result<u32, &RunError>)) -> Result<ExitStatus> {
        self.clean_up()?;
        self.place.clear("stopped")?;
        hub::serve(&self.hub, &self.place)?;
        let this = Arc::new(self);
        let mut pause = FIRST_PAUSE;
        let mut first = true;
        loop {
            let begun = Instant::now();
            let ended = Self::once(&this, &mut |pid| {
                if std::mem::take(&mut first) {
                    report(Ok(pid));
                }
            });
            if begun.elapsed() >= GOOD_RUN {
                pause = FIRST_PAUSE;
            }
            let status = this.ended(&ended)?;
            if first {
                // What did not start at all is told, and not tried again.
                this.finish();
                return ended.inspect_err(|error| report(Err(error)));
            }
            if !this.again(status) || !this.rest(pause) {
                this.finish();
                return Ok(status);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            this.change(|written| written.restarts += 1)?;
        }
    }

    /// Removes what a killed monitor left in the runtime.
    fn clean_up(&self) -> Result<()> {
        if !self.place.has("state.json") {
            return Ok(());
        }
        // A runtime that never came to know the container refuses; then there is nothing to remove.
        let _ = self.machine.delete(&self.container.id);
        self.place.clear("paused")?;
        self.place.clear("state.json")
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Written)) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut written);
        self.place.write("state.json", &*written)
    }

    fn once(this: &Arc<Self>, started: &mut dyn FnMut(u32)) -> Result<ExitStatus> {
        let begun = this.begin()?;
        started(begun.pid);
        event::note(&this.containers, &this.container.id, "start", None);
        let over = health::watch(this);
        let status = wait_for(begun.pid);
        drop(over);
        for _ in 0..begun.outputs {
            if begun.done.recv_timeout(LAST_OUTPUT).is_err() {
                break;
            }
        }
        status
    }

    fn begin(&self) -> Result<Begun> {
        let id = &self.container.id;
        let now = (self.containers.clock)();
        let health = self.container.asked.health.as_ref().map(|_| Health::Starting);
        self.change(|written| {
            (written.pid, written.pid_start, written.started) = (0, 0, now);
            written.health = health;
        })?;
        let (pid, outputs) = self.create()?;
        let (sender, done) = channel();
        let count = outputs.len();
        for (stream, file) in outputs {
            hub::copy(Arc::clone(&self.hub), stream, file, sender.clone());
        }
        let pid_start = crate::procfs::start_time(pid).unwrap_or(0);
        self.change(|written| (written.pid, written.pid_start) = (pid, pid_start))?;
        self.machine.start(id)?;
        Ok(Begun { pid, outputs: count, done })
    }

    /// Creates the process with its wires; gives what is to be copied.
    fn create(&self) -> Result<(u32, Vec<(Stream, File)>)> {
        let id = &self.container.id;
        let bundle = self.place.bundle();
        let piping = || "make pipes".to_owned();
        if crate::spec::terminal(&self.spec) {
            let console = console::Console::listen(&self.place)?;
            let pid = self.machine.create(id, &bundle, Wires::Console(console.path()))?;
            let master = console.accept(id)?;
            let input = File::from(master.try_clone().doing(piping)?);
            let output = File::from(master.try_clone().doing(piping)?);
            self.hub.connect(Some(input), Some(master));
            return Ok((pid, vec![(Stream::Stdout, output)]));
        }
        let (stdin, input) = if self.container.asked.open_stdin {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing(piping)?;
            (Some(read), Some(File::from(write)))
        } else {
            (None, None)
        };
        let (out, stdout) = pipe_with(PipeFlags::CLOEXEC).doing(piping)?;
        let (err, stderr) = pipe_with(PipeFlags::CLOEXEC).doing(piping)?;
        let pid = self.machine.create(id, &bundle, Wires::Streams(Streams { stdin, stdout, stderr }))?;
        self.hub.connect(input, None);
        Ok((pid, vec![(Stream::Stdout, out.into()), (Stream::Stderr, err.into())]))
    }

    /// Deletes what ran, and writes how it ended.
    fn ended(&self, ended: &Result<ExitStatus>) -> Result<ExitStatus> {
        let id = &self.container.id;
        let _ = self.machine.delete(id);
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        let status = ended.as_ref().copied().unwrap_or(ExitStatus::Code(127));
        let error = ended.as_ref().err().map(RunError::chain);
        self.place.write("exit.json", &Exit { status, at: (self.containers.clock)(), error })?;
        self.place.clear("paused")?;
        event::note(&self.containers, id, "die", Some(status.code()));
        Ok(status)
    }

    /// Whether the policy wants another run.
    fn again(&self, status: ExitStatus) -> bool {
        let restarts = self.written.lock().unwrap_or_else(PoisonError::into_inner).restarts;
        match self.container.asked.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure { retries } => {
                status.code() != 0 && retries.is_none_or(|retries| restarts < retries)
            }
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        }
    }

    /// Waits before the next start; `false` when `stop` came meanwhile or before.
    fn rest(&self, pause: Duration) -> bool {
        let begun = Instant::now();
        while !self.place.has("stopped") {
            let Some(left) = pause.checked_sub(begun.elapsed()) else { return true };
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        false
    }

    /// The last words: the lock goes with the process, or when `self` is dropped.
    fn finish(&self) {
        let _ = self.place.clear("state.json");
        let _ = self.place.clear("attach.sock");
        self.hub.end();
    }
}

fn wait_for(pid: u32) -> Result<ExitStatus> {
    let waiting = || format!("wait for process {pid}");
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = raw else { return Ok(ExitStatus::Unknown) };
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (_, Some(signal)) => ExitStatus::Signal(signal),
                    _ => continue,
                });
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing(waiting),
        }
    }
}
