//! Somebody at a terminal, for tests of what is shown there and typed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a text is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last output of a process that has ended is waited for.
const LAST: Duration = Duration::from_millis(300);

/// A user of a terminal of 20 rows and 70 columns, in which a command runs: it ends with the user.
#[derive(Debug)]
pub struct TerminalUser {
    master: OwnedFd,
    child: Child,
    seen: String,
}

impl TerminalUser {
    /// Runs a command, all of whose streams are the terminal.
    pub fn runs(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&slave, size(20, 70)).unwrap();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        let child = command.stderr(slave).spawn().unwrap();
        // The command itself holds the other side, too.
        drop(command);
        Self { master, child, seen: String::new() }
    }

    /// All that was shown so far.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// The user's side of the terminal.
    pub fn side(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Types a text.
    pub fn types(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resizes(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
    }

    /// Reads until a text is there.
    pub fn sees(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.seen.contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text:?} in {:?}", self.seen);
            self.read();
        }
    }

    /// Whether keys go to the process as they are.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Reads to the end; the exit code.
    pub fn ends(&mut self) -> Option<i32> {
        while self.read() && self.child.try_wait().unwrap().is_none() {}
        let code = self.child.wait().unwrap().code();
        let limit = Instant::now() + LAST;
        while Instant::now() < limit && self.read() {}
        code
    }

    /// Whether there may be more.
    fn read(&mut self) -> bool {
        let limit = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&limit)) == Ok(0) {
            return true;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(got) if got > 0 => self.seen.push_str(&String::from_utf8_lossy(&buffer[..got])),
            _ => return false,
        }
        true
    }
}

impl Drop for TerminalUser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
