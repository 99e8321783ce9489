//! The caller's side of a process: its terminal, its signals, the wait for the end.

use crate::ExitStatus;
use crate::error::{Doing, Result, RunError};
use crate::relay::{self, Relays};
use crate::runtime::Streams;
use crate::sys::Caught;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What a caller passes on: all that can be caught and mean something to another process. Those of job
/// control stay the caller's own.
const PASSED: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];
/// The most input that waits for a process that does not read.
const BUFFER: usize = 32 << 10;
/// What ends the input at a terminal: the user's key in its default setting.
const END_OF_INPUT: u8 = 4;
/// How long the last output of a terminal is awaited after the end, should a stray process hold it.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// Signals that ask to end.
pub(crate) const ENDING: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];
/// How often a caller is asked to end before it means it: then the process is killed.
const MEANT: u32 = 3;

/// How much of the caller's standard input a process gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interaction {
    /// Nothing: its input is the null device, or a terminal at which nobody types.
    #[default]
    Watch,
    /// All of it.
    Talk,
}

/// The null device, for a process that nobody listens to.
pub(crate) fn no_streams() -> Result<Streams> {
    let null = || {
        let opened = File::options().write(true).open("/dev/null");
        opened.doing(|| "open /dev/null".to_owned())
    };
    Ok(Streams { stdin: None, stdout: null()?.into(), stderr: null()?.into() })
}

/// The caller's terminal while it passes every key on; it is as before when this ends.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of the caller's terminal as rows and columns, when it has one.
pub(crate) fn own_size() -> Option<rustix::termios::Winsize> {
    [rustix::stdio::stdout(), rustix::stdio::stdin(), rustix::stdio::stderr()]
        .into_iter()
        .find_map(|stream| tcgetwinsize(stream).ok())
}

/// Raw mode for who talks at a terminal of its own; to be held while it lasts.
pub(crate) fn raw(interaction: Interaction) -> Option<impl Drop> {
    (interaction == Interaction::Talk && isatty(rustix::stdio::stdin())).then(Raw::enter).flatten()
}

/// The caller's side of one process.
pub(crate) struct Front {
    signals: Caught,
    interaction: Interaction,
    master: Option<OwnedFd>,
    input: Input,
    raw: Option<Raw>,
    asked: Cell<u32>,
    relays: Option<Relays>,
    /// The first failure of the caller's own files.
    trouble: Option<RunError>,
}

/// What was read from the caller and not taken by the process yet.
struct Input {
    open: bool,
    waiting: Vec<u8>,
    /// Whether the last line has no end.
    is_within_line: bool,
}

impl Front {
    /// Catches the signals from now on.
    pub(crate) fn open(interaction: Interaction) -> Result<Self> {
        let mut caught = PASSED.to_vec();
        // A file that may not grow is an error of its write, not the end of this process.
        caught.extend([libc::SIGWINCH, libc::SIGXFSZ]);
        let signals = Caught::these(&caught)?;
        let input = Input {
            open: interaction == Interaction::Talk,
            waiting: Vec::new(),
            is_within_line: false,
        };
        let asked = Cell::new(0);
        let (master, raw, relays, trouble) = (None, None, None, None);
        Ok(Self { signals, interaction, master, input, raw, asked, relays, trouble })
    }

    /// The caller's streams for the next process, which has no terminal; their bytes are carried while it runs.
    pub(crate) fn streams(&mut self) -> Result<Streams> {
        let (streams, relays) = relay::caller_streams(self.interaction)?;
        self.relays = Some(relays);
        Ok(streams)
    }

    /// What kept the output of a process from the caller's files, where something did. Told once.
    pub(crate) fn trouble(&mut self) -> Result<()> {
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// Takes the master side of the process's terminal, and gives it the size of the caller's.
    pub(crate) fn connect(&mut self, master: Option<OwnedFd>) -> Result<()> {
        if let Some(master) = &master {
            rustix::io::ioctl_fionbio(master, true).doing(|| "open the terminal".to_owned())?;
            if let Some(size) = own_size() {
                let _ = rustix::termios::tcsetwinsize(master, size);
            }
            if self.interaction == Interaction::Talk && isatty(rustix::stdio::stdin()) {
                self.raw = Raw::enter();
            }
        }
        self.master = master;
        Ok(())
    }

    /// Waits for the end of a child, carrying signals and the terminal's bytes meanwhile.
    pub(crate) fn accompany(
        &mut self,
        pid: u32,
        deliver: &dyn Fn(i32) -> Result<()>,
    ) -> Result<ExitStatus> {
        let waiting = || format!("wait for process {pid}");
        let held = pidfd_open(number(pid)?, PidfdFlags::empty()).doing(waiting)?;
        loop {
            let ready = self.wait(&held, None).doing(waiting)?;
            if ready.signal {
                self.pass_signals(deliver);
            }
            if ready.output && !self.output() {
                self.master = None;
            }
            if ready.input {
                self.read_input();
            }
            self.write_input();
            if ready.ended {
                break;
            }
        }
        let status = ended(pid)?;
        self.last_output();
        let relays = self.relays.take();
        // The process has ended: who asks to end now means what it left.
        if let Some(Err(error)) = relays.map(|relays| relays.finish(&|| self.is_asked_to_end())) {
            self.trouble.get_or_insert(error);
        }
        self.raw = None;
        Ok(status)
    }

    /// Waits until something is ready.
    fn wait(&self, held: &OwnedFd, limit: Option<Duration>) -> rustix::io::Result<Ready> {
        let none = rustix::stdio::stdin();
        let talks = self.master.is_some() && self.input.open && self.input.waiting.is_empty();
        let towards = if self.input.waiting.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        };
        let mut all =
            vec![PollFd::new(held, PollFlags::IN), PollFd::new(self.signals.pipe(), PollFlags::IN)];
        // A place is kept for each, so that the answers are found by their number.
        all.push(match talks {
            true => PollFd::from_borrowed_fd(none, PollFlags::IN),
            false => PollFd::new(held, PollFlags::empty()),
        });
        if let Some(master) = &self.master {
            all.push(PollFd::new(master, towards));
        }
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut all, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let is = |place: usize| all.get(place).is_some_and(|one| !one.revents().is_empty());
        Ok(Ready { ended: is(0), signal: is(1), input: talks && is(2), output: is(3) })
    }

    fn pass_signals(&self, deliver: &dyn Fn(i32) -> Result<()>) {
        let mut bytes = [0; 64];
        let got = rustix::io::read(self.signals.pipe(), &mut bytes).unwrap_or(0);
        for signal in bytes.iter().take(got).copied().map(i32::from) {
            if signal == libc::SIGWINCH {
                if let (Some(master), Some(size)) = (&self.master, own_size()) {
                    let _ = rustix::termios::tcsetwinsize(master, size);
                }
                continue;
            }
            if signal == libc::SIGXFSZ {
                continue;
            }
            // One that has ended meanwhile needs no signal.
            let _ = deliver(signal);
            if ENDING.contains(&signal) {
                self.asked.set(self.asked.get() + 1);
                if self.asked.get() >= MEANT {
                    let _ = deliver(libc::SIGKILL);
                }
            }
        }
    }

    /// Whether a signal that asks to end has come while there was no process to pass it to.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        let asked = Cell::new(false);
        self.pass_signals(&|signal| {
            asked.set(asked.get() || ENDING.contains(&signal));
            Ok(())
        });
        asked.get()
    }

    /// Carries what the terminal shows; `false` when nobody holds its other side any more.
    fn output(&mut self) -> bool {
        let Some(master) = &self.master else { return true };
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(master, &mut buffer) {
            Ok(0) => false,
            Ok(got) => {
                let shown = buffer.get(..got).unwrap_or_default();
                match write_all(rustix::stdio::stdout(), shown) {
                    Ok(()) => true,
                    // As a terminal that is closed: the process is told by a hang-up.
                    Err(Errno::PIPE) => false,
                    Err(error) => {
                        let doing = || "write the output of the process".to_owned();
                        let told: Result<()> = Err(error).doing(doing);
                        self.trouble = self.trouble.take().or(told.err());
                        true
                    }
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            // EIO is how a terminal says that its last user is gone.
            Err(_) => false,
        }
    }

    fn read_input(&mut self) {
        let mut buffer = vec![0; BUFFER];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => {
                self.input.open = false;
                // In the middle of a line the key only sends what is there.
                let times = if self.input.is_within_line { 2 } else { 1 };
                self.input.waiting.extend(std::iter::repeat_n(END_OF_INPUT, times));
            }
            Ok(got) => {
                buffer.truncate(got);
                self.input.is_within_line = buffer.last().is_some_and(|last| *last != b'\n');
                self.input.waiting = buffer;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.input.open = false,
        }
    }

    fn write_input(&mut self) {
        let (Some(master), false) = (&self.master, self.input.waiting.is_empty()) else { return };
        match rustix::io::write(master, &self.input.waiting) {
            Ok(put) => drop(self.input.waiting.drain(..put)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => (self.input.open, self.input.waiting) = (false, Vec::new()),
        }
    }

    /// What the terminal still shows after the end.
    fn last_output(&mut self) {
        let begun = Instant::now();
        while let Some(master) = &self.master
            && let Some(left) = LAST_OUTPUT.checked_sub(begun.elapsed())
            && let Ok(left) = Timespec::try_from(left)
        {
            let ready = poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&left));
            if !matches!(ready, Ok(1..)) || !self.output() {
                self.master = None;
            }
        }
    }
}

/// What there is to do.
struct Ready {
    ended: bool,
    signal: bool,
    input: bool,
    output: bool,
}

/// Writes all, also to a stream that does not block.
pub(crate) fn write_all(to: impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(put) => bytes = bytes.get(put..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn number(pid: u32) -> Result<Pid> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.ok_or(Errno::CHILD).doing(|| format!("wait for process {pid}"))
}

/// Waits for a child, and says how it ended.
pub(crate) fn ended(pid: u32) -> Result<ExitStatus> {
    let wanted = number(pid)?;
    loop {
        match waitpid(Some(wanted), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (_, Some(signal)) => ExitStatus::Signal(signal),
                    _ => continue,
                });
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| format!("wait for process {pid}")),
        }
    }
}

/// Waits for a child for a time; one that is not done by then is killed, and the answer is `None`.
pub(crate) fn ended_within(pid: u32, limit: Option<Duration>) -> Result<Option<ExitStatus>> {
    let Some(limit) = limit else { return ended(pid).map(Some) };
    let waiting = || format!("wait for process {pid}");
    let held = pidfd_open(number(pid)?, PidfdFlags::empty()).doing(waiting)?;
    let limit = Timespec::try_from(limit).ok();
    let mut ends = [PollFd::new(&held, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut ends, limit.as_ref())).doing(waiting)?;
    if ready == 0 {
        crate::sys::signal(pid, libc::SIGKILL)?;
        ended(pid)?;
        return Ok(None);
    }
    ended(pid).map(Some)
}
