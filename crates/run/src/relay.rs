//! Pipes between the caller's streams and a process in a container.
//!
//! Whoever holds a descriptor can do more than read or write: change the mode and the owner of a file, cut it,
//! read what is typed at a terminal, or keep a named pipe open. So what has a name on the machine, or is a device,
//! is not handed over: a pipe is, and a thread here carries its bytes. Pipes without a name and sockets are handed
//! over as they are; the engine itself replaces the null device.
//!
//! ```text
//! caller's file, terminal, … ◄── thread ◄── pipe ◄── process        (both outputs of one file share one)
//! caller's input ── thread ── pipe ──► process
//! ```

use crate::error::{Doing, Result};
use crate::front::{Interaction, write_all};
use crate::runtime::Streams;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat, fstatfs};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// `PIPEFS_MAGIC` and `SOCKFS_MAGIC` of linux/magic.h.
const NAMELESS: [i64; 2] = [0x5049_5045, 0x534f_434b];
/// How much a pipe holds, where the machine lets it: fewer wake-ups for who writes much.
const PIPE: usize = 1 << 20;
/// How much is carried at once: what stays in the cache of a processor between reading and writing it.
const BUFFER: usize = 128 << 10;
/// How often it is asked whether the rest of the output is still wanted.
const PATIENCE: Duration = Duration::from_millis(50);

/// The threads that carry the bytes of one process.
#[derive(Debug, Default)]
pub struct Relays {
    outputs: Vec<Receiver<rustix::io::Result<()>>>,
    /// Closed, it tells the thread of the input that the process has ended.
    running: Option<OwnedFd>,
}

impl Relays {
    /// Waits until all that the process said is where it belongs, once it has ended: as long as another process
    /// holds its streams, or the caller's file takes nothing, unless `is_unwanted` comes to say so. An error is
    /// that of the caller's file, or that the wait was broken off: what the process said is not all there.
    pub fn finish(mut self, is_unwanted: &dyn Fn() -> bool) -> Result<()> {
        drop(self.running.take());
        let (mut first, mut broken_off) = (Ok(()), false);
        for output in self.outputs.drain(..) {
            let carried = loop {
                match output.recv_timeout(PATIENCE) {
                    Ok(carried) => break carried,
                    Err(RecvTimeoutError::Timeout) if broken_off || is_unwanted() => {
                        broken_off = true;
                        break Err(Errno::INTR);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break Err(Errno::IO),
                }
            };
            first = first.and(carried);
        }
        first.doing(|| "write the output of the process".to_owned())
    }
}

/// The caller's own standard streams for a process without a terminal, and the threads that carry what is not
/// handed over.
pub fn caller_streams(interaction: Interaction) -> Result<(Streams, Relays)> {
    let mut relays = Relays::default();
    let (ended, running) = pipe_with(PipeFlags::CLOEXEC).doing(making)?;
    relays.running = Some(running);
    let stdin = match interaction {
        Interaction::Talk => Some(input(rustix::stdio::stdin(), &ended)?),
        Interaction::Watch => None,
    };
    let (out, err) = (rustix::stdio::stdout(), rustix::stdio::stderr());
    let stdout = relays.output(out)?;
    let stderr = if is_handed_over(err) || !is_same(out, err) {
        relays.output(err)?
    } else {
        // One pipe for both: what was said first comes first.
        stdout.try_clone().doing(making)?
    };
    Ok((Streams { stdin, stdout, stderr }, relays))
}

fn making() -> String {
    "make a pipe for a standard stream".to_owned()
}

impl Relays {
    fn output(&mut self, to: BorrowedFd<'_>) -> Result<OwnedFd> {
        let own = to.try_clone_to_owned().doing(making)?;
        if is_handed_over(to) {
            return Ok(own);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing(making)?;
        // Who has many pipes gets small ones.
        let _ = fcntl_setpipe_size(&write, PIPE);
        let (carried, told) = channel();
        // Nobody waits for the thread: it may be in a write that nothing ends.
        thread::spawn(move || carried.send(carry_out(&read, &own)));
        self.outputs.push(told);
        Ok(write)
    }
}

fn input(from: BorrowedFd<'_>, ended: &OwnedFd) -> Result<OwnedFd> {
    let own = from.try_clone_to_owned().doing(making)?;
    if is_handed_over(from) {
        return Ok(own);
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing(making)?;
    let ended = ended.try_clone().doing(making)?;
    // Nobody waits for it: it may be in a read that nothing ends.
    thread::spawn(move || carry_in(&own, &write, &ended));
    Ok(read)
}

/// Whether a stream may be given to the process itself: it has no name, or it is the null device.
fn is_handed_over(stream: BorrowedFd<'_>) -> bool {
    let nameless = fstatfs(stream).is_ok_and(|place| NAMELESS.contains(&place.f_type));
    nameless
        || fstat(stream).is_ok_and(|found| {
            FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
                && found.st_rdev == rustix::fs::makedev(1, 3)
        })
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let (Ok(one), Ok(other)) = (fstat(one), fstat(other)) else { return false };
    (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
}

/// Carries what comes out of the pipe, until its last writer is gone.
fn carry_out(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    // Not spliced: that holds the pipe while it writes, so that who fills it and who empties it take turns, and took
    // a fifth longer than a copy here.
    let mut buffer = vec![0; BUFFER];
    loop {
        let carried = rustix::io::read(from, &mut buffer)
            .and_then(|got| write_all(to, buffer.get(..got).unwrap_or_default()).map(|()| got));
        match carried {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // A pipe that somebody made not to block is waited for, as the caller's file is.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(from, PollFlags::IN)], None)?;
            }
            // Nobody reads any more: with the pipe's end the process learns it as it would have.
            Err(Errno::PIPE) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Carries the caller's input until its end, or until nobody takes it any more.
fn carry_in(from: &OwnedFd, to: &OwnedFd, ended: &OwnedFd) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut all = [
            PollFd::new(from, PollFlags::IN),
            PollFd::new(to, PollFlags::empty()),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut all, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [input, reader, over] = all.map(|one| !one.revents().is_empty());
        if reader || over {
            return;
        }
        if !input {
            continue;
        }
        match rustix::io::read(from, &mut buffer) {
            Ok(0) => return,
            Ok(got) => {
                if write_all(to.as_fd(), buffer.get(..got).unwrap_or_default()).is_err() {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    fn carried(to: File, text: &[u8]) -> rustix::io::Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let thread = thread::spawn(move || carry_out(&read, &to.into()));
        File::from(write).write_all(text).unwrap();
        thread.join().unwrap()
    }

    #[test]
    fn what_is_said_comes_to_a_file_that_is_written_to_and_to_one_that_is_appended_to() {
        let scratch = tempfile::tempdir().unwrap();
        let text = vec![b'x'; 3 << 20];
        for append in [false, true] {
            let path = scratch.path().join(append.to_string());
            let mut options = File::options();
            let file = options.create(true).append(append).write(true).open(&path).unwrap();
            carried(file, &text).unwrap();
            assert!(std::fs::read(&path).unwrap() == text);
        }
    }

    #[test]
    fn a_file_that_takes_nothing_is_an_error_and_a_reader_that_is_gone_is_none() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(carried(full, b"x"), Err(Errno::NOSPC));
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(read);
        assert_eq!(carried(write.into(), b"x"), Ok(()));
    }

    #[test]
    fn a_pipe_that_somebody_else_holds_is_waited_for_until_nobody_wants_it() {
        let (read, mut write) = std::io::pipe().unwrap();
        let (mut out, to) = std::io::pipe().unwrap();
        let (carried, told) = channel();
        thread::spawn(move || carried.send(carry_out(&read.into(), &to.into())));
        write.write_all(b"last").unwrap();
        let relays = Relays { outputs: vec![told], running: None };
        let asked = std::cell::Cell::new(0);
        let told = relays.finish(&|| {
            asked.set(asked.get() + 1);
            asked.get() == 3
        });
        assert!(told.is_err() && asked.get() == 3);
        let mut text = [0; 4];
        out.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"last");
    }

    #[test]
    fn only_what_has_no_name_is_handed_over() {
        let (read, _write) = std::io::pipe().unwrap();
        assert!(is_handed_over(read.as_fd()));
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(is_handed_over(socket.as_fd()));
        let open = |path: &str| File::open(path).unwrap();
        assert!(is_handed_over(open("/dev/null").as_fd()));
        assert!(!is_handed_over(open("/dev/zero").as_fd()));
        assert!(!is_handed_over(open("/proc/self/exe").as_fd()));
        let scratch = tempfile::tempdir().unwrap();
        let named = scratch.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &named, rustix::fs::Mode::RWXU).unwrap();
        let named = File::options().read(true).write(true).open(&named).unwrap();
        assert!(!is_handed_over(named.as_fd()));
    }
}
