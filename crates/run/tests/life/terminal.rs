//! Terminals: of a foreground run, of a further process, of who attaches.

use crate::machine::{Machine, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A user at a terminal.
struct User {
    master: OwnedFd,
    child: Child,
    seen: String,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl User {
    fn runs(mut command: Command) -> User {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&slave, size(20, 70)).unwrap();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        let child = command.stderr(slave).spawn().unwrap();
        // The command itself holds the other side, too.
        drop(command);
        User { master, child, seen: String::new() }
    }

    fn types(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    /// Reads until a text is there.
    fn sees(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.seen.contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{text:?} in {:?}", self.seen);
            self.read();
        }
    }

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

    fn ends(&mut self) -> Option<i32> {
        while self.read() && self.child.try_wait().unwrap().is_none() {}
        self.child.wait().unwrap().code()
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

#[test]
fn a_foreground_terminal_carries_keys_sizes_and_its_end() {
    let Some(machine) = Machine::new() else { return };
    let script = "tty; stty size; read line; echo got $line; \
        trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    let flags = ["--rm", "--terminal", "--interactive", "--name=one"];
    let mut user = User::runs(machine.command(&machine.words("run", &flags, script)));
    user.sees("/dev/pts/0\r\n20 70\r\n");
    assert!(user.is_raw());
    user.types("word\n");
    user.sees("got word\r\nready");
    tcsetwinsize(&user.master, size(33, 99)).unwrap();
    kill_process(Pid::from_child(&user.child), Signal::WINCH).unwrap();
    user.sees("33 99");
    // Control and C go through as a key, and the terminal in the container makes the signal of it.
    user.types("\x03");
    assert_eq!(user.ends(), Some(130), "{}", user.seen);
    assert!(!user.is_raw());
    assert!(machine.left().is_empty());
}

#[test]
fn the_callers_terminal_is_the_callers_again_after_a_process_of_another_user() {
    let Some(machine) = Machine::new() else { return };
    let script = "echo seen > /dev/stdout; exit 5";
    let words = machine.words("run", &["--rm", "--uid=7"], script);
    let mut user = User::runs(machine.command(&words));
    user.sees("seen");
    assert_eq!(user.ends(), Some(5), "{}", user.seen);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&user.master, flags).unwrap();
    assert_eq!(rustix::fs::fstat(&slave).unwrap().st_uid, 0);
}

#[test]
fn output_before_the_end_of_a_terminal_is_whole() {
    let Some(machine) = Machine::new() else { return };
    let flags = ["--rm", "--terminal"];
    let answer = machine.run(&flags, "seq 1 3000; exit 8");
    let wanted: String = (1..=3000).map(|number| format!("{number}\r\n")).collect();
    assert_eq!(answer.output, wanted);
    assert_eq!(answer.code, Some(8));
    // Without a user, the end of the input is a key.
    let mut command =
        machine.command(&machine.words("run", &["--rm", "--terminal", "--interactive"], "cat"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_further_process_has_a_terminal_of_its_own() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &[], "sleep 100");
    let words = ["exec", "--terminal", "--interactive", "one", "sh", "-c", "stty size; tty; cat"];
    let mut user = User::runs(machine.command(&words));
    user.sees("20 70\r\n/dev/pts/0\r\n");
    assert!(user.is_raw());
    user.types("echoed\n");
    user.sees("echoed\r\nechoed\r\n");
    user.types("\x04");
    assert_eq!(user.ends(), Some(0));
    assert!(!user.is_raw());
    assert_eq!(machine.left().len(), 3, "a container, its name, the runtime's word: no socket");
}

#[test]
fn a_detached_terminal_is_attached_left_and_attached_again() {
    let Some(machine) = Machine::new() else { return };
    let script = "while read line; do echo got $line; done; exit 2";
    machine.started("one", &["--terminal", "--interactive"], script);
    let words = ["attach", "--interactive", "--replay", "one"];
    let mut user = User::runs(machine.command(&words));
    user.types("one\n");
    user.sees("got one");
    until("its size", || machine.fine(&["exec", "one", "ls", "/dev/pts"]).contains('0'));
    user.types("\x10\x11");
    assert_eq!(user.ends(), Some(0));
    assert!(!user.is_raw());
    assert_eq!(machine.state("one"), "running");
    let mut user = User::runs(machine.command(&words));
    user.sees("got one");
    user.types("two\n");
    user.sees("got two");
    user.types("\x04");
    assert_eq!(user.ends(), Some(2), "{}", user.seen);
    assert!(machine.fine(&["logs", "one"]).contains("got two"));
}
