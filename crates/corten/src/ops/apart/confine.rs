//! Giving up what a process with one task does not need: privileges, files, network, other processes.

use std::io;

use corten_engine::seccomp;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Memory, the descriptors that it has, time, and its end. Nothing that takes a path, makes a socket or a process, or
/// reaches another one.
const CALLS: [&str; 32] = [
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
        // What the caller may not have itself, it cannot give.
        let limit = getrlimit(*resource).maximum.map_or(*limit, |most| most.min(*limit));
        setrlimit(*resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
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
        // No such id in this namespace, or no right to be another, as in a container that has few. What is left of
        // root is the ownership of files, and none can be opened.
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    /// What a thread is refused once it is confined; everything here works before.
    fn refused() -> Vec<&'static str> {
        type Attempt = (&'static str, fn() -> bool);
        let attempts: [Attempt; 11] = [
            ("read a file", || File::open("/proc/self/status").is_ok()),
            ("make a file", || tempfile::tempfile().is_ok()),
            ("look at a path", || std::fs::metadata("/").is_ok()),
            ("look at one as older programs do", || rustix::fs::stat("/").is_ok()),
            ("listen", || TcpListener::bind("127.0.0.1:0").is_ok()),
            ("start a process", || Command::new("true").status().is_ok()),
            ("signal another", || {
                rustix::process::test_kill_process(rustix::process::getpid()).is_ok()
            }),
            ("make memory files", || {
                rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).is_ok()
            }),
            ("change its root", || rustix::process::chroot("/").is_ok()),
            ("make sockets", || {
                let (family, kind) =
                    (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM);
                rustix::net::socketpair(family, kind, rustix::net::SocketFlags::CLOEXEC, None)
                    .is_ok()
            }),
            ("see its namespaces", || std::fs::read_link("/proc/self/ns/net").is_ok()),
        ];
        let works = |(name, attempt): &Attempt| attempt().then_some(*name);
        let before: Vec<_> = attempts.iter().filter_map(works).collect();
        confine(&[], &THREADS).unwrap();
        let after: Vec<_> = attempts.iter().filter_map(works).collect();
        assert!(after.is_empty(), "still: {after:?}");
        before
    }

    #[test]
    fn who_is_confined_reaches_nothing() {
        let before = std::thread::spawn(refused).join().unwrap();
        // Only root may change its root.
        assert!(before.len() >= 10, "{before:?}");
    }
}
