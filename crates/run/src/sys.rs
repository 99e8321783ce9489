//! Signals as bytes in a pipe: the one thing here that the standard library has no safe word for.
#![allow(unsafe_code)]

use crate::error::{Doing, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes; -1 before the first [`catch`].
static PIPE: AtomicI32 = AtomicI32::new(-1);

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

/// Catches signals from now on: each comes as one byte, its number, out of the file. A program that is
/// executed later starts with their default actions again. To be called once in a process.
pub(crate) fn catch(signals: &[i32]) -> Result<File> {
    let making = || "make a pipe for signals".to_owned();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).doing(making)?;
    rustix::io::ioctl_fionbio(&write, true).doing(making)?;
    PIPE.store(write.into_raw_fd(), Ordering::SeqCst);
    for signal in signals {
        // SAFETY: all zeros is a valid `sigaction`; the handler only makes calls that are allowed in one.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = caught as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(*signal, &raw const action, std::ptr::null_mut())
        };
        if done != 0 {
            return Err(std::io::Error::last_os_error()).doing(|| format!("catch signal {signal}"));
        }
    }
    Ok(File::from(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_signal_comes_as_its_number() {
        let mut file = catch(&[libc::SIGUSR2]).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2).unwrap();
        let mut byte = [0];
        file.read_exact(&mut byte).unwrap();
        assert_eq!(i32::from(byte[0]), libc::SIGUSR2);
    }
}
