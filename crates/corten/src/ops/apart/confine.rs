//! Giving up what a process with one task does not need: privileges, files, network, other processes.

use std::io;

use corten_engine::seccomp;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Memory, the descriptors that it has, time, and its end. Nothing that takes a path, makes a socket or a process, or
/// reaches another one.
const CALLS: [&str; 33] = [
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "fstat",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "poll",
    "ppoll",
    "pread64",
    "pwrite64",
    "read",
    "recvfrom",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendmsg",
    "sendto",
    "sigaltstack",
    "write",
    "writev",
];

/// What a thread of one's own takes beyond that.
pub(super) const THREADS: [&str; 7] =
    ["clone", "clone3", "prctl", "rseq", "sched_getaffinity", "set_robust_list", "set_tid_address"];

/// A user and a group that own nothing.
const NOBODY: u32 = 65534;

/// Gives up everything but [`CALLS`] and `further`, and what is beyond `limits`. What is above a limit is ended by the
/// kernel; a call that is not there fails with EPERM.
pub(super) fn confine(limits: &[(Resource, u64)], further: &[&str]) -> io::Result<()> {
    let filter = seccomp::compile(&profile(further)?).map_err(io::Error::other)?;
    for (resource, limit) in limits {
        setrlimit(*resource, Rlimit { current: Some(*limit), maximum: Some(*limit) })?;
    }
    rustix::thread::set_no_new_privs(true)?;
    be_nobody()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)?;
    filter.install().map_err(io::Error::other)?;
    Ok(())
}

/// Root becomes nobody. In a user namespace without such an id it stays what it is for the machine: the user who made
/// the namespace.
fn be_nobody() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(NOBODY), rustix::fs::Gid::from_raw(NOBODY));
    let become_it = || {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    };
    match become_it() {
        // No such id, or no right to be another: there are no privileges over others to give up.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn profile(further: &[&str]) -> io::Result<LinuxSeccomp> {
    let names = CALLS.iter().chain(further).map(|name| (*name).to_owned());
    let allowed = LinuxSyscallBuilder::default()
        .names(names.collect::<Vec<_>>())
        .action(LinuxSeccompAction::ScmpActAllow)
        .build()
        .map_err(io::Error::other)?;
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .syscalls([allowed])
        .build()
        .map_err(io::Error::other)
}
