//! Namespaces of a process that runs.

use crate::error::{Doing, Error, Result};
use crate::procfs::Procfs;
use crate::sys::{self, Reach};
use crate::tree;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};

/// A lasting hold on the process `pid`, if it is still the one that started at `start`.
pub(crate) fn hold(pid: i32, start: u64) -> Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
    let held = match pidfd_open(number, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
        other => other.doing(|| format!("hold process {pid}"))?,
    };
    // Asked after the hold: the number cannot have gone to another process in between.
    Ok((Procfs::of_machine()?.start_time(pid) == Some(start)).then_some(held))
}

/// The pid behind a pidfd, in the numbering of this process's proc.
fn pid_of(process: impl AsFd) -> Result<i32> {
    use std::os::fd::AsRawFd;
    let descriptor = process.as_fd().as_raw_fd();
    let text = Procfs::of_machine()?.read(&format!("self/fdinfo/{descriptor}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .filter(|pid| *pid > 0)
        .ok_or_else(|| Error::Stage { text: "the container's process is gone".to_owned() })
}

/// Opens a namespace of the process behind a pidfd: `mnt` or `pid`.
pub(crate) fn namespace_of(process: impl AsFd, kind: &str) -> Result<OwnedFd> {
    let pid = pid_of(process.as_fd())?;
    let file = rustix::fs::openat(
        CWD,
        format!("/proc/{pid}/ns/{kind}"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(|| format!("open the {kind} namespace of the container"))?;
    // The process behind the hold lives still, so the number was its.
    sys::signal(process, 0).doing(|| "find the container's process")?;
    Ok(file)
}

/// Enters the user namespace that owns the mounts of the process `pid` and becomes its root, for a process with one thread that is
/// the namespace's owner: an ordinary user reaches the containers that run inside it so. `start` is the
/// process's start time as [`crate::start_time`] gave it.
pub fn join_user_namespace_of(pid: i32, start: u64) -> Result<()> {
    let held =
        hold(pid, start)?.ok_or_else(|| Error::Stage { text: format!("process {pid} is gone") })?;
    // The process itself may be in one further in, which is its user's alone.
    let owner = sys::owner_of(namespace_of(&held, "mnt")?)
        .doing(|| format!("find the user namespace of process {pid}"))?;
    sys::join(&owner, libc::CLONE_NEWUSER)
        .doing(|| format!("join the user namespace of process {pid}"))?;
    crate::namespaces::become_root()
}

/// Gives the calling thread, and the processes that it starts from now on, a mount namespace of its own: what
/// the machine mounts and unmounts later is seen there, and what is mounted there is seen nowhere else and
/// vanishes with the last process. Its root and working directory are no longer those of other threads.
pub fn private_mounts() -> Result<()> {
    sys::unshare_mounts().doing(|| "make a mount namespace")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, "/", flags, Mode::empty()).doing(|| "open the root")?;
    tree::propagate(&root, Reach::Tree, libc::MS_SLAVE, "the machine's mounts")
}

/// When the process `pid` started, in clock ticks since boot, to know it again; `None` when it is gone.
pub fn start_time(pid: i32) -> Option<u64> {
    Procfs::of_machine().ok()?.start_time(pid)
}
