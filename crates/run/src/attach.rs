//! The far side of `attach.sock`: shows what a watched container says, and says what the caller does.

use crate::error::{Doing, Result, RunError};
use crate::frame::Frame;
use crate::front::{self, ENDING, Interaction};
use crate::log::Stream;
use crate::sys::Caught;
use crate::{Condition, ContainerId, Containers, ExitStatus, State, control};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::fs::File;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The keys that let go of a container with a terminal: control and P, then control and Q.
const LEAVE: [u8; 2] = [0x10, 0x11];
/// How much input goes in one frame.
const PIECE: usize = 16 << 10;

/// How to attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attach {
    /// Whether the caller's input goes to the container.
    pub interaction: Interaction,
    /// Whether what it said last is shown first.
    pub replay: bool,
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parted {
    /// The container ended so.
    Ended(ExitStatus),
    /// The user left it, and it goes on.
    Left,
}

/// Shows the output of a container that a monitor watches, until it ends or, at a terminal, the user
/// presses control-P control-Q. Signals go to its first process.
pub fn attach(containers: &Containers, id: &ContainerId, how: Attach) -> Result<Parted> {
    let attaching = || format!("attach to container {id}");
    control::allowed(
        containers,
        id,
        &[State::Running, State::Paused, State::Between],
        "be attached to",
    )?;
    let container = containers.container(id)?;
    let mut stream = connect(containers, id)?;
    let raw = if container.asked.terminal { front::raw(how.interaction) } else { None };
    Frame::Hello { replay: how.replay }.write(&mut stream).doing(attaching)?;
    let inputs = Inputs {
        caught: Caught::these(&[&ENDING[..], &[libc::SIGWINCH, libc::SIGQUIT]].concat())?,
        talks: how.interaction == Interaction::Talk,
        terminal: container.asked.terminal,
    };
    let (over, ends) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(attaching)?;
    let to = stream.try_clone().doing(attaching)?;
    let left = std::thread::scope(|scope| {
        let inward = scope.spawn(|| {
            inputs.carry(to, &over, &|signal| {
                // One that has ended meanwhile needs no signal.
                let _ = crate::kill(containers, id, signal);
            })
        });
        let shown = show(&mut stream);
        // Both may be gone; the thread sees it in any case.
        let _ = stream.shutdown(Shutdown::Both);
        drop(ends);
        (shown, inward.join().unwrap_or(false))
    });
    drop(raw);
    match left {
        (Shown::Closed, true) => return Ok(Parted::Left),
        (Shown::Failed(Errno::PIPE), _) => return Ok(Parted::Left),
        (Shown::Failed(error), _) => {
            return Err(error).doing(|| format!("write the output of container {id}"));
        }
        (Shown::Closed, false) if crate::status(containers, id)?.is_busy() => {
            let state = "let go of: its output was not taken for too long".to_owned();
            return Err(RunError::State { id: id.clone(), state, verb: "stay attached to" });
        }
        (Shown::Closed | Shown::Ended, _) => {}
    }
    let status = crate::wait(containers, id, Condition::Exited, None)?;
    Ok(Parted::Ended(status.unwrap_or(ExitStatus::Unknown)))
}

fn connect(containers: &Containers, id: &ContainerId) -> Result<UnixStream> {
    let place = containers.place(id);
    let directory = File::open(&place.dir).doing(|| format!("open {}", place.dir.display()))?;
    let address = format!("/proc/self/fd/{}/attach.sock", directory.as_raw_fd());
    UnixStream::connect(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            let state = "watched by no monitor".to_owned();
            RunError::State { id: id.clone(), state, verb: "be attached to" }
        }
        _ => RunError::Io { doing: format!("attach to container {id}"), source: error },
    })
}

/// How the showing of an output came to its end.
enum Shown {
    /// With the container.
    Ended,
    /// Without a word of that.
    Closed,
    /// The caller takes no more.
    Failed(Errno),
}

/// Shows what comes.
fn show(stream: &mut UnixStream) -> Shown {
    loop {
        let shown = match Frame::read(stream) {
            Ok(Some(Frame::Output(Stream::Stdout, bytes))) => {
                front::write_all(rustix::stdio::stdout(), &bytes)
            }
            Ok(Some(Frame::Output(Stream::Stderr, bytes))) => {
                front::write_all(rustix::stdio::stderr(), &bytes)
            }
            Ok(Some(Frame::End)) => return Shown::Ended,
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => return Shown::Closed,
        };
        if let Err(error) = shown {
            return Shown::Failed(error);
        }
    }
}

/// What goes from the caller to the container.
struct Inputs {
    caught: Caught,
    talks: bool,
    terminal: bool,
}

impl Inputs {
    /// Carries until the attachment is over; `true` when the user's keys ended it.
    fn carry(&self, mut to: UnixStream, over: &OwnedFd, deliver: &dyn Fn(i32)) -> bool {
        self.resize(&mut to);
        let (mut talks, mut begun) = (self.talks, false);
        loop {
            let mut all = vec![
                PollFd::new(over, PollFlags::IN),
                PollFd::new(self.caught.pipe(), PollFlags::IN),
            ];
            if talks {
                all.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
            }
            // Interrupted, nothing is ready, and it is asked again.
            let _ = poll(&mut all, None);
            let is = |place: usize| all.get(place).is_some_and(|one| !one.revents().is_empty());
            if is(0) {
                return false;
            }
            if is(1) {
                self.signals(&mut to, deliver);
            }
            if is(2) {
                match self.input(&mut to, &mut begun) {
                    Typed::More => {}
                    Typed::End => talks = false,
                    Typed::Leave => {
                        let _ = to.shutdown(Shutdown::Both);
                        return true;
                    }
                }
            }
        }
    }

    fn resize(&self, to: &mut UnixStream) {
        if let (true, Some(size)) = (self.terminal, front::own_size()) {
            // A connection that is gone is seen by who reads it.
            let _ = Frame::Resize { rows: size.ws_row, columns: size.ws_col }.write(to);
        }
    }

    fn signals(&self, to: &mut UnixStream, deliver: &dyn Fn(i32)) {
        let mut bytes = [0; 64];
        let got = rustix::io::read(self.caught.pipe(), &mut bytes).unwrap_or(0);
        for signal in bytes.iter().take(got).copied().map(i32::from) {
            match signal {
                libc::SIGWINCH => self.resize(to),
                _ => deliver(signal),
            }
        }
    }

    fn input(&self, to: &mut UnixStream, begun: &mut bool) -> Typed {
        let mut bytes = vec![0; PIECE];
        let got = match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Typed::More,
            other => other.unwrap_or(0),
        };
        bytes.truncate(got);
        if got == 0 {
            let _ = Frame::EndOfInput.write(to);
            return Typed::End;
        }
        let leaves = self.terminal && leaving(&mut bytes, begun);
        if !bytes.is_empty() && Frame::Input(bytes).write(to).is_err() {
            return Typed::End;
        }
        if leaves { Typed::Leave } else { Typed::More }
    }
}

enum Typed {
    More,
    End,
    Leave,
}

/// Looks for the keys that leave, takes them out, and says whether they were whole. `begun` remembers the
/// first of them between two reads.
fn leaving(bytes: &mut Vec<u8>, begun: &mut bool) -> bool {
    let [first, second] = LEAVE;
    let mut passed = Vec::with_capacity(bytes.len() + 1);
    for byte in bytes.iter().copied() {
        if std::mem::take(begun) {
            if byte == second {
                *bytes = passed;
                return true;
            }
            passed.push(first);
        }
        if byte == first {
            *begun = true;
        } else {
            passed.push(byte);
        }
    }
    *bytes = passed;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_leave_are_found_across_reads_and_others_pass() {
        let typed = |pieces: &[&[u8]]| {
            let (mut begun, mut passed) = (false, Vec::new());
            for piece in pieces {
                let mut bytes = piece.to_vec();
                let left = leaving(&mut bytes, &mut begun);
                passed.extend(bytes);
                if left {
                    return (passed, true);
                }
            }
            (passed, false)
        };
        assert_eq!(typed(&[b"ab\x10\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(typed(&[b"ab\x10", b"\x11"]), (b"ab".to_vec(), true));
        assert_eq!(typed(&[b"\x10", b"x\x11"]), (b"\x10x\x11".to_vec(), false));
        assert_eq!(typed(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }
}
