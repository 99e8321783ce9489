//! One process watches one container: starts it, carries its output, waits, starts it again.

use crate::console::Console;
use crate::control;
use crate::error::{Doing, Result, RunError};
use crate::front::{self, Front};
use crate::hub::{self, Hub};
use crate::log::Stream;
use crate::model::Written;
use crate::place::{Lock, Place};
use crate::prepare::{apart, prepared};
use crate::runtime::{Machine, Streams, Wires};
use crate::{
    Container, ContainerId, Containers, Ended, ExitStatus, Health, Prepare, RestartPolicy,
    RuntimeChoice, event, health,
};
use oci_spec::runtime::Spec;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::WaitOptions;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Where the streams of the process lead.
pub(crate) enum Side {
    /// To the log and to those who attach.
    Hub(Arc<Hub>),
    /// Straight to the caller.
    Caller(Box<Mutex<Front>>),
}

/// Who watches: holds the lock for as long as it lives.
pub(crate) struct Supervisor<'a> {
    pub(crate) containers: &'a Containers,
    pub(crate) container: Container,
    pub(crate) place: Place,
    pub(crate) machine: Box<dyn Machine>,
    prepare: &'a dyn Prepare,
    side: Side,
    written: Mutex<Written>,
    /// Whether the kernel ended a process of the last run because its memory ran out.
    out_of_memory: AtomicBool,
    lock: Lock,
}

/// A run that has begun.
struct Begun {
    pid: u32,
    spec: Spec,
    outputs: Outputs,
    /// What the network keeps until the end.
    _held: Vec<OwnedFd>,
}

/// A process that waits for its start, and the config it came from.
type Created = (u32, Spec);
/// Closes with the last output that is copied, where any is.
type Outputs = Option<Receiver<()>>;

impl<'a> Supervisor<'a> {
    /// Takes the container's lock and all that watching needs.
    pub(crate) fn new(
        containers: &'a Containers,
        id: &ContainerId,
        prepare: &'a dyn Prepare,
        side: impl FnOnce(&Container, &Place) -> Result<Side>,
    ) -> Result<Self> {
        let place = containers.place(id);
        let Some(lock) = place.lock()? else {
            let state = crate::status(containers, id)?.state.word().to_owned();
            return Err(RunError::State { id: id.clone(), state, verb: "start" });
        };
        let container = containers.container(id)?;
        if matches!(container.asked.runtime, RuntimeChoice::Binary { .. }) {
            // Its binary leaves the first process to whoever reaps the orphans.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .doing(|| "become a subreaper".to_owned())?;
        }
        let machine = crate::runtime::open(containers, &container.asked);
        let side = side(&container, &place)?;
        let written = Mutex::new(Written::new((containers.clock)()));
        let out_of_memory = AtomicBool::new(false);
        Ok(Self {
            containers,
            container,
            place,
            machine,
            prepare,
            side,
            written,
            out_of_memory,
            lock,
        })
    }

    /// Watches until the container has ended for good. `started` is told once, when it runs.
    pub(crate) fn watch(&self, started: &mut dyn FnMut(u32)) -> Result<ExitStatus> {
        self.clean_up()?;
        let mut pause = FIRST_PAUSE;
        let mut first = true;
        loop {
            let begun = Instant::now();
            let ended = self.once(&mut |pid| {
                if std::mem::take(&mut first) {
                    started(pid);
                }
            });
            if begun.elapsed() >= GOOD_RUN {
                pause = FIRST_PAUSE;
            }
            let status = self.ended(&ended)?;
            if first {
                // What did not start at all is not tried again.
                self.finish();
                return ended;
            }
            if !self.again(status) || !self.rest(pause) {
                self.finish();
                return Ok(status);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.change(|written| written.restarts += 1)?;
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

    /// Changes what is written of the run.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Written)) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut written);
        self.place.write("state.json", &*written)
    }

    /// One run, from the start to the end.
    fn once(&self, started: &mut dyn FnMut(u32)) -> Result<ExitStatus> {
        let begun = self.begin()?;
        event::note(self.containers, &self.container.id, "start", None);
        started(begun.pid);
        let bell = health::Bell::default();
        let watch = self.machine.oom_watch(&self.container.id);
        let over = watch.as_ref().filter(|watch| watch.vanishes()).map(|_| pipe()).transpose()?;
        let (over, running) = over.unzip();
        self.out_of_memory.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            if let (Some(watch), Some(over)) = (&watch, &over) {
                scope.spawn(|| {
                    if watch.has_killed_until(over.as_fd()) {
                        self.out_of_memory.store(true, Ordering::Relaxed);
                    }
                });
            }
            if let Some(check) = &self.container.asked.health {
                scope.spawn(|| health::watch(self, check, &begun.spec, &bell));
            }
            let status = self.wait(begun.pid);
            bell.ring();
            drop(running);
            if watch.as_ref().is_some_and(|watch| !watch.vanishes() && watch.has_killed()) {
                self.out_of_memory.store(true, Ordering::Relaxed);
            }
            // The outputs are two, or one of a terminal: each has its word, and the channel closes with the last.
            if let Some(outputs) = &begun.outputs {
                let over = Instant::now();
                while let Some(left) = LAST_OUTPUT.checked_sub(over.elapsed())
                    && outputs.recv_timeout(left).is_ok()
                {}
            }
            status
        })
    }

    fn wait(&self, pid: u32) -> Result<ExitStatus> {
        match &self.side {
            Side::Hub(_) => front::ended(pid),
            Side::Caller(front) => {
                let mut front = front.lock().unwrap_or_else(PoisonError::into_inner);
                front.accompany(pid, &|signal| {
                    if front::ENDING.contains(&signal) {
                        self.place.write_bytes("stopped", control::BY_SIGNAL)?;
                    }
                    self.machine.signal(&self.container.id, signal)
                })
            }
        }
    }

    fn begin(&self) -> Result<Begun> {
        let now = (self.containers.clock)();
        let health = self.container.asked.health.as_ref().map(|_| Health::Starting);
        self.change(|written| {
            (written.pid, written.pid_start, written.started) = (0, 0, now);
            written.health = health;
        })?;
        let ((pid, spec), outputs) = match self.container.asked.terminal {
            true => self.create_with_terminal()?,
            false => self.create_with_streams()?,
        };
        let pid_start = crate::procfs::start_time(pid).unwrap_or(0);
        self.change(|written| (written.pid, written.pid_start) = (pid, pid_start))?;
        let held = self
            .prepare
            .created(&self.container, &self.place.dir, pid)
            .doing(|| format!("prepare the start of container {}", self.container.id));
        let started = held.and_then(|held| {
            self.machine.start(&self.container.id)?;
            Ok(held)
        });
        let held = started.inspect_err(|_| {
            // Also what is left of it, which is this process's child; the first error is the one to tell.
            let _ = self.machine.delete(&self.container.id);
            let _ = front::ended_within(pid, Some(LAST_OUTPUT));
        })?;
        Ok(Begun { pid, spec, outputs, _held: held })
    }

    /// Prepares and creates, apart from the machine's mounts.
    fn create(&self, wires: Wires) -> Result<Created> {
        apart(|| {
            let unwanted = || self.is_unwanted();
            let spec = prepared(self.prepare, &self.container, self.containers, &unwanted)?;
            let pid = self.machine.create(&self.container.id, &self.place.bundle(), wires)?;
            Ok((pid, spec))
        })
    }

    /// Whether a start that is still being prepared is not wanted any more: its caller was asked to end, or the
    /// container to stop.
    fn is_unwanted(&self) -> bool {
        match &self.side {
            Side::Caller(front) => {
                front.lock().unwrap_or_else(PoisonError::into_inner).is_asked_to_end()
            }
            Side::Hub(_) => self.place.has("stopped"),
        }
    }

    fn create_with_terminal(&self) -> Result<(Created, Outputs)> {
        let console = Console::listen(&self.place.dir, &self.container.id)?;
        let created = self.create(Wires::Console(console.path()))?;
        let master = console.accept(&self.container.id)?;
        let outputs = match &self.side {
            Side::Caller(front) => {
                front.lock().unwrap_or_else(PoisonError::into_inner).connect(Some(master))?;
                None
            }
            Side::Hub(hub) => {
                let copy = || master.try_clone().doing(|| "copy the terminal".to_owned());
                let (input, output) = (File::from(copy()?), File::from(copy()?));
                hub.connect(Some(input), Some(master));
                Some(carry(hub, vec![(Stream::Stdout, output)]))
            }
        };
        Ok((created, outputs))
    }

    fn create_with_streams(&self) -> Result<(Created, Outputs)> {
        let hub = match &self.side {
            Side::Caller(front) => {
                let streams = front.lock().unwrap_or_else(PoisonError::into_inner).streams()?;
                return Ok((self.create(Wires::Streams(streams))?, None));
            }
            Side::Hub(hub) => hub,
        };
        let (stdin, input) = match self.container.asked.open_stdin {
            true => pipe().map(|(read, write)| (Some(read), Some(File::from(write))))?,
            false => (None, None),
        };
        let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
        let created = self.create(Wires::Streams(Streams { stdin, stdout, stderr }))?;
        hub.connect(input, None);
        let outputs = vec![(Stream::Stdout, out.into()), (Stream::Stderr, err.into())];
        Ok((created, Some(carry(hub, outputs))))
    }

    /// Deletes what ran, and writes how it ended.
    fn ended(&self, ended: &Result<ExitStatus>) -> Result<ExitStatus> {
        let id = &self.container.id;
        let _ = self.machine.delete(id);
        if matches!(self.side, Side::Hub(_)) {
            // A monitor has no children but those of its container.
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
        self.prepare.settle(&self.container, &self.place.dir);
        let failed = |error: &RunError| ExitStatus::Code(i32::from(error.exit_code()));
        let status = ended.as_ref().copied().unwrap_or_else(failed);
        let error = ended.as_ref().err().map(RunError::chain);
        let (started, restarts) = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            (written.started, written.restarts)
        };
        let at = (self.containers.clock)();
        let out_of_memory = self.out_of_memory.load(Ordering::Relaxed);
        self.place
            .write("exit.json", &Ended { status, at, started, restarts, error, out_of_memory })?;
        self.place.clear("paused")?;
        event::note(self.containers, id, "die", Some(status.code()));
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
            if let Side::Caller(front) = &self.side
                && front.lock().unwrap_or_else(PoisonError::into_inner).is_asked_to_end()
            {
                return false;
            }
            let Some(left) = pause.checked_sub(begun.elapsed()) else { return true };
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        false
    }

    /// What kept the output of the process from the caller's files, where something did.
    pub(crate) fn trouble(&self) -> Result<()> {
        match &self.side {
            Side::Hub(_) => Ok(()),
            Side::Caller(front) => front.lock().unwrap_or_else(PoisonError::into_inner).trouble(),
        }
    }

    /// Lets go of the container: one that was to go at its end does, and so do the namespaces of a pod that
    /// nobody needs any more.
    pub(crate) fn leave(self) -> Result<()> {
        let Self { containers, container, .. } = self;
        drop((self.machine, self.side, self.lock));
        if container.asked.remove_at_end {
            crate::create::remove_at_end(containers, &container.id)?;
        }
        match &container.asked.pod {
            Some(pod) => crate::pod::life::settle(containers, pod),
            None => Ok(()),
        }
    }

    /// The last words: the lock goes with the process, or when `self` is dropped.
    fn finish(&self) {
        let _ = self.place.clear("state.json");
        let _ = self.place.clear("attach.sock");
        if let Side::Hub(hub) = &self.side {
            hub.end();
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe".to_owned())
}

/// Copies the outputs to the hub; the channel closes when the last of them has ended.
fn carry(hub: &Arc<Hub>, outputs: Vec<(Stream, File)>) -> Receiver<()> {
    let (sender, done) = channel();
    for (stream, file) in outputs {
        hub::copy(Arc::clone(hub), stream, file, sender.clone());
    }
    done
}
