//! `seccomp(2)`: the one call that loads a filter.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::assemble::Instruction;

/// Actions other than allow are logged.
pub(super) const LOG: u32 = 1 << 1;
/// Speculative store bypass stays on.
pub(super) const SPEC_ALLOW: u32 = 1 << 2;
/// The filter has a listener.
const NEW_LISTENER: u32 = 1 << 3;
/// Who waits for a listener's answer may be killed.
pub(super) const WAIT_KILLABLE: u32 = 1 << 5;

/// Loads `program`; with `listens` the descriptor of its listener comes back (close-on-exec).
pub(super) fn load(
    program: &[Instruction],
    flags: u32,
    listens: bool,
) -> io::Result<Option<OwnedFd>> {
    let listener = if listens { NEW_LISTENER } else { 0 };
    // Without a listener the kernel knows no such wait, and refuses the flag.
    let ignored = if listens { 0 } else { WAIT_KILLABLE };
    let flags = (flags & !ignored) | listener;
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `header` points to `program.len()` instructions that have the layout of `sock_filter`
    // (repr(C), same fields); the kernel copies them and keeps no pointer.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const header)
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    if !listens {
        return Ok(None);
    }
    let descriptor = RawFd::try_from(answer).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: with NEW_LISTENER the answer is a fresh descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}
