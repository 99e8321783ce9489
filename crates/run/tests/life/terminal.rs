//! Terminals: of a foreground run, of a further process, of who attaches.

use crate::machine::{Machine, until};
use corten_testkit::TerminalUser;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;

#[test]
fn a_foreground_terminal_carries_keys_sizes_and_its_end() {
    let Some(machine) = Machine::new() else { return };
    let script = "tty; stty size; read line; echo got $line; \
        trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    let flags = ["--rm", "--terminal", "--interactive", "--name=one"];
    let mut user = TerminalUser::runs(machine.command(&machine.words("run", &flags, script)));
    user.sees("/dev/pts/0\r\n20 70\r\n");
    assert!(user.is_raw());
    user.types("word\n");
    user.sees("got word\r\nready");
    user.resizes(33, 99);
    kill_process(Pid::from_child(user.child()), Signal::WINCH).unwrap();
    user.sees("33 99");
    // Control and C go through as a key, and the terminal in the container makes the signal of it.
    user.types("\x03");
    assert_eq!(user.ends(), Some(130), "{}", user.seen());
    assert!(!user.is_raw());
    assert!(machine.left().is_empty());
}

#[test]
fn the_callers_terminal_is_the_callers_again_after_a_process_of_another_user() {
    let Some(machine) = Machine::new() else { return };
    let script = "echo seen > /dev/stdout; exit 5";
    let words = machine.words("run", &["--rm", "--uid=7"], script);
    let mut user = TerminalUser::runs(machine.command(&words));
    user.sees("seen");
    assert_eq!(user.ends(), Some(5), "{}", user.seen());
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(user.side(), flags).unwrap();
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
    let mut user = TerminalUser::runs(machine.command(&words));
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
    let mut user = TerminalUser::runs(machine.command(&words));
    user.types("one\n");
    user.sees("got one");
    until("its size", || machine.fine(&["exec", "one", "ls", "/dev/pts"]).contains('0'));
    user.types("\x10\x11");
    assert_eq!(user.ends(), Some(0));
    assert!(!user.is_raw());
    assert_eq!(machine.state("one"), "running");
    let mut user = TerminalUser::runs(machine.command(&words));
    user.sees("got one");
    user.types("two\n");
    user.sees("got two");
    user.types("\x04");
    assert_eq!(user.ends(), Some(2), "{}", user.seen());
    assert!(machine.fine(&["logs", "one"]).contains("got two"));
}
