//! The start of a stage by its caller, and the end of processes.

use crate::error::{Doing, Error, Result};
use crate::order::{Channel, Message, Order};
use crate::{Create, birth, stage, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Child, Command};

/// How often it is asked whether a start is still wanted.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The three standard streams of a container's process. What is not given is inherited.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Standard input.
    pub input: Option<OwnedFd>,
    /// Standard output.
    pub output: Option<OwnedFd>,
    /// Standard error.
    pub error: Option<OwnedFd>,
}

/// The stages of one process and the way to talk to them.
pub(crate) struct Stage {
    pub(crate) channel: Channel,
    /// The outer stage, where there is one.
    outer: Option<Child>,
    /// The inner stage, as soon as it is known.
    inner: Option<i32>,
    /// The process that the inner stage forked, where it became one of its own.
    child: Option<i32>,
}

/// A copy of a descriptor above those that belong to the program.
pub(crate) fn lift(descriptor: OwnedFd, above: RawFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(&descriptor, above).doing(|| "copy a descriptor")
}

fn stream(given: Option<&OwnedFd>) -> Result<std::process::Stdio> {
    match given {
        Some(given) => Ok(given.try_clone().doing(|| "copy a standard stream")?.into()),
        None => Ok(std::process::Stdio::inherit()),
    }
}

impl Stage {
    /// Runs `program` as an outer stage. `passed` are the descriptors which the order names.
    pub(crate) fn spawn(
        program: &Path,
        order: &OwnedFd,
        passed: &[RawFd],
        stdio: &Stdio,
        above: RawFd,
    ) -> Result<Stage> {
        let (ours, theirs) = Channel::pair()?;
        let theirs = lift(theirs.into_socket(), above)?;
        let mut command = Command::new(program);
        command.args([stage::STAGE, stage::OUTER]);
        command.args([theirs.as_raw_fd().to_string(), order.as_raw_fd().to_string()]);
        command.env_clear();
        command.stdin(stream(stdio.input.as_ref())?);
        command.stdout(stream(stdio.output.as_ref())?);
        command.stderr(stream(stdio.error.as_ref())?);
        let mut inherited = vec![theirs.as_raw_fd(), order.as_raw_fd()];
        inherited.extend_from_slice(passed);
        sys::inherit(&mut command, inherited);
        let child = command.spawn().doing(|| format!("run {} as a stage", program.display()))?;
        Ok(Stage { channel: ours, outer: Some(child), inner: None, child: None })
    }

    /// Runs `program` as an inner stage without an outer one.
    pub(crate) fn born(
        program: &Path,
        order: &Order,
        order_file: &OwnedFd,
        passed: &[RawFd],
        wanted: &Create,
    ) -> Result<Stage> {
        let (ours, theirs) = Channel::pair()?;
        let theirs = Channel::from_socket(lift(theirs.into_socket(), 3 + order.preserve)?);
        let pid = birth::inner_stage(program, order, (order_file, &theirs), passed, &wanted.stdio)?;
        Ok(Stage { channel: ours, outer: None, inner: Some(pid), child: None })
    }

    /// Lets the outer stage begin.
    pub(crate) fn let_go(&self) -> Result<()> {
        if self.outer.is_some() { self.channel.send(&Message::Go) } else { Ok(()) }
    }

    /// The outer stage's pid, where there is one.
    pub(crate) fn outer_pid(&self) -> Option<i32> {
        self.outer.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// The process that is to become the program, as far as it is known.
    pub(crate) fn process(&self) -> Option<i32> {
        self.child.or(self.inner)
    }

    /// The same as [`Stage::hear`], for as long as it is wanted: a process that the container stops says nothing.
    pub(crate) fn hear_while(&mut self, is_unwanted: &dyn Fn() -> bool) -> Result<Option<Message>> {
        loop {
            let mut all = [PollFd::new(&self.channel, PollFlags::IN)];
            let ready = rustix::io::retry_on_intr(|| poll(&mut all, Some(&PATIENCE)));
            if ready.doing(|| "wait for the stage")? > 0 {
                return self.hear();
            }
            if is_unwanted() {
                let text = "the process did not start while it was wanted".to_owned();
                return Err(Error::Stage { text });
            }
        }
    }

    /// Hears the next word of a stage; `None` when all are gone. What a process says that is none, since it got
    /// hold of the socket, is an error.
    pub(crate) fn hear(&mut self) -> Result<Option<Message>> {
        let Some((message, sender)) = self.channel.receive_from()? else { return Ok(None) };
        let told = |text: String| Err(Error::Stage { text });
        let Some(sender) = sender else { return told("a word of nobody".to_owned()) };
        match (&message, self.inner) {
            (Message::Forked(pid), known) if self.outer_pid() == Some(sender) => {
                self.inner = known.or(Some(*pid));
            }
            (Message::Forked(pid), Some(inner)) if inner == sender => self.child = Some(*pid),
            (Message::Here { .. }, None) => self.inner = Some(sender),
            (_, inner) if inner == Some(sender) || self.outer_pid() == Some(sender) => {}
            _ => return told(format!("process {sender}, which is no stage, said {message:?}")),
        }
        Ok(Some(message))
    }

    /// Ends the processes of a stage that failed.
    pub(crate) fn tear_down(&mut self) {
        self.child.take().into_iter().for_each(end);
        self.inner.take().into_iter().for_each(end);
    }

    /// Lets the inner stage go whose child is the program: it ends by itself.
    pub(crate) fn part(&mut self) -> Result<()> {
        if self.child.is_none() {
            return Ok(());
        }
        match self.inner.take().map(wait).transpose()? {
            None | Some(0) => Ok(()),
            Some(code) => Err(Error::Stage { text: format!("the inner stage ended with {code}") }),
        }
    }

    /// Waits for the end of the outer stage, which leaves by itself once the inner one runs; one that failed
    /// is ended.
    pub(crate) fn reap(&mut self, done: &Result<()>) -> Result<()> {
        let Some(outer) = &mut self.outer else { return Ok(()) };
        if done.is_err() {
            // It may have ended by itself.
            let _ = outer.kill();
        }
        let ended = outer.wait().doing(|| "wait for the stage").map(drop);
        // Its word of the pid may have come after that of the inner stage.
        self.channel.drain();
        ended
    }
}

/// Ends a child and takes its remains.
pub(crate) fn end(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    let _ = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::empty()));
}

/// Waits for a process that is this one's child, and says how it ended the way shells do: its exit code, or
/// 128 and the signal's number.
pub fn wait(pid: i32) -> Result<u8> {
    let number =
        Pid::from_raw(pid).ok_or(rustix::io::Errno::CHILD).doing(|| "wait for no process")?;
    let (_, status) =
        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(number), WaitOptions::empty()))
            .doing(|| format!("wait for process {pid}"))?
            .ok_or(rustix::io::Errno::CHILD)
            .doing(|| format!("wait for process {pid}"))?;
    let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
