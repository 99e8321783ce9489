//! Signals as bytes in a pipe, signals by number, and namespaces of a pod: the things here that no crate has a
//! safe word for.
#![allow(unsafe_code)]

use crate::error::{Doing, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes; -1 before the first [`Caught`].
static PIPE: AtomicI32 = AtomicI32::new(-1);
/// Where that is read from: one pipe for the life of the process, as a handler may run at any moment.
static FROM: OnceLock<File> = OnceLock::new();

extern "C" fn caught(signal: libc::c_int) {
    let fd = PIPE.load(Ordering::Relaxed);
    let byte = u8::try_from(signal).unwrap_or(0);
    // SAFETY: errno belongs to this thread, and is put back so that the interrupted code sees its own.
    // `write` is safe in a handler (signal-safety(7)); the descriptor is never closed once it is set, and
    // a full pipe drops the signal, as the kernel joins equal signals too.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(fd, (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// Signals that are caught: each comes as one byte, its number. What they did before comes back with the
/// end of this value. A program that is executed meanwhile starts with their default actions.
pub(crate) struct Caught {
    pipe: File,
    before: Vec<(i32, libc::sigaction)>,
}

impl Caught {
    /// Catches signals from now on. A process has one of these at a time: two would share what comes.
    pub(crate) fn these(signals: &[i32]) -> Result<Self> {
        let making = || "make a pipe for signals".to_owned();
        if FROM.get().is_none() {
            let (read, write) =
                pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).doing(making)?;
            if FROM.set(File::from(read)).is_ok() {
                PIPE.store(write.into_raw_fd(), Ordering::SeqCst);
            }
        }
        let pipe = FROM.get().ok_or(rustix::io::Errno::PIPE).doing(making)?;
        let mut this = Self { pipe: pipe.try_clone().doing(making)?, before: Vec::new() };
        // What came when nobody caught signals any more means nothing now.
        while rustix::io::read(&this.pipe, &mut [0; 64]).is_ok_and(|got| got > 0) {}
        for signal in signals {
            // SAFETY: all zeros is a valid `sigaction`; the handler only makes calls that are allowed in
            // one, and the old action is written into a structure of this frame.
            let (done, before) = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let mut before: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = caught as extern "C" fn(libc::c_int) as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART;
                (libc::sigaction(*signal, &raw const action, &raw mut before), before)
            };
            if done != 0 {
                return Err(io::Error::last_os_error()).doing(|| format!("catch signal {signal}"));
            }
            if *signal == libc::SIGHUP && before.sa_sigaction == libc::SIG_IGN {
                // Whoever started this (nohup) wants it to go on after the end of its terminal.
                // SAFETY: puts back an action that the kernel gave.
                unsafe { libc::sigaction(*signal, &raw const before, std::ptr::null_mut()) };
                continue;
            }
            this.before.push((*signal, before));
        }
        Ok(this)
    }

    /// The pipe, to be waited for; its reads do not block.
    pub(crate) fn pipe(&self) -> &File {
        &self.pipe
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: puts back an action that the kernel gave.
            unsafe { libc::sigaction(*signal, &raw const *before, std::ptr::null_mut()) };
        }
    }
}

/// Sends a signal of any number to a child of this process that nobody has waited for, so that its number
/// still is its own.
pub(crate) fn signal(pid: u32, signal: i32) -> Result<()> {
    let sending = || format!("send signal {signal} to process {pid}");
    let number = i32::try_from(pid).ok().filter(|number| *number > 0);
    let number = number.ok_or(rustix::io::Errno::SRCH).doing(sending)?;
    // SAFETY: two numbers.
    match unsafe { libc::kill(number, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()).doing(sending),
    }
}

/// Gives the calling process, which has one thread, new network, ipc and uts namespaces.
pub(crate) fn new_namespaces() -> Result<()> {
    let kinds = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    // SAFETY: only namespaces change; no memory or descriptor is concerned.
    match unsafe { libc::unshare(kinds) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()).doing(|| "make the namespaces of a pod".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_signal_comes_as_its_number_and_then_means_what_it_did_before() {
        let caught = Caught::these(&[libc::SIGUSR2, libc::SIGCONT]).unwrap();
        signal(std::process::id(), libc::SIGUSR2).unwrap();
        let mut byte = [0];
        // Another thread of the test may be the one that is interrupted.
        while caught.pipe().read_exact(&mut byte).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(i32::from(byte[0]), libc::SIGUSR2);
        drop(caught);
        // SAFETY: reads an action into a structure of this frame.
        let now = unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGUSR2, std::ptr::null(), &raw mut now);
            now
        };
        assert_eq!(now.sa_sigaction, libc::SIG_DFL);
    }
}
