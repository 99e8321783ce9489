//! A first process of the engine's own, for programs that are not made to be one: it starts the program as its
//! child, hands signals on to it, takes the remains of every orphan, and ends as the program ended.
//!
//! It is the stage itself, which never becomes another program: nothing of it has to be in the container, and
//! its rights, its user and its filter are those of the program.

use crate::error::{Doing, Result};
use crate::sys;
use oci_spec::runtime::Spec;
use rustix::process::{Pid, WaitOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

/// The annotation of a configuration that asks for it, with the value `true`.
pub const INIT: &str = "run.corten.engine.init";

/// Whether the configuration asks for it.
pub(crate) fn is_wanted(spec: &Spec) -> bool {
    let asked = spec.annotations().as_ref().and_then(|all| all.get(INIT));
    asked.is_some_and(|value| value == "true")
}

/// Starts the program, which `become_it` makes of the child, and stays until it has ended. Returns only when it
/// could not be started: with the reason.
pub(crate) fn lead(become_it: impl FnOnce() -> io::Error) -> Result<io::Error> {
    // Where the pid namespace has another first process, orphans come here all the same.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .doing(|| "take orphans in")?;
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(|| "make a pipe")?;
    // The program gets its own with its start.
    let _ = rustix::thread::set_name(c"init");
    // Blocked, a signal waits to be asked for, even where the first process of a namespace would not get it.
    let before = sys::block_signals();
    let Some(child) = sys::fork().doing(|| "fork the program")? else {
        drop(read);
        take_terminal();
        sys::restore_signals(&before);
        let error = become_it();
        let number = error.raw_os_error().unwrap_or(libc::EIO);
        // When nobody hears it, nobody is there.
        let _ = std::fs::File::from(write).write_all(&number.to_ne_bytes());
        sys::end_at_once(125);
    };
    drop(write);
    if let Some(error) = heard(read)? {
        let pid = Pid::from_raw(child);
        let _ = rustix::io::retry_on_intr(|| rustix::process::waitpid(pid, WaitOptions::empty()));
        return Ok(error);
    }
    stay(child)
}

/// Why the program could not be started; `None` when the pipe closed with its start.
fn heard(pipe: OwnedFd) -> Result<Option<io::Error>> {
    let mut number = [0; 4];
    match std::fs::File::from(pipe).read_exact(&mut number) {
        Ok(()) => Ok(Some(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error).doing(|| "wait for the start of the program"),
    }
}

/// Makes the program the one that keys such as ^C go to, where there is a terminal.
fn take_terminal() {
    let own = rustix::process::getpid();
    // Without a terminal there is nothing to take, and then the group does no harm.
    let _ = rustix::process::setpgid(None, Some(own));
    let _ = rustix::termios::tcsetpgrp(sys::borrow(0), own);
}

fn stay(child: i32) -> ! {
    // The caller of `start` waits for this end, and readers of the streams for theirs.
    sys::close_all_from(3);
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    loop {
        let signal = sys::next_signal();
        if signal != libc::SIGCHLD {
            // Those of the terminal for background processes mean this process, not the program.
            if signal != libc::SIGTTIN && signal != libc::SIGTTOU {
                sys::signal_process(child, signal);
            }
            continue;
        }
        if let Some(code) = reap(child) {
            sys::end_at_once(code);
        }
    }
}

/// Takes the remains of all that has ended; the exit code when the program is among them.
fn reap(child: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) =
        rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::NOHANG))
    {
        if pid.as_raw_pid() == child {
            code = status.exit_status().or(status.terminating_signal().map(|number| 128 + number));
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn only_the_word_true_asks_for_it() {
        let spec = |value: Option<&str>| {
            let mut spec = Spec::default();
            let all = value.map(|value| HashMap::from([(INIT.to_owned(), value.to_owned())]));
            spec.set_annotations(all);
            spec
        };
        assert!(is_wanted(&spec(Some("true"))));
        assert!(!is_wanted(&spec(Some("false"))));
        assert!(!is_wanted(&spec(None)));
    }
}
