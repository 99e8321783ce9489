//! The system calls that no crate wraps safely: each one function, with what makes it sound.
#![allow(unsafe_code)]

mod bpf;
mod schedule;
mod signals;

pub(crate) use bpf::{attach_device_program, device_programs, load_device_program, open_program};
pub(crate) use schedule::{
    SchedulerAttributes, set_affinity, set_io_priority, set_memory_policy, set_scheduler,
};
pub(crate) use signals::{
    block_signals, next_signal, reset_signals, restore_signals, signal_process,
};

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What `mount_setattr` shall change: the kernel's `struct mount_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) user_namespace: u64,
}

/// Which mounts an attribute change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The one mount.
    One,
    /// The mount and everything below it.
    Tree,
}

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Changes the attributes of the mount that `fd` stands for.
pub(crate) fn mount_setattr(
    fd: impl AsFd,
    reach: Reach,
    attributes: MountAttributes,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if reach == Reach::Tree { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant C string and the structure lives across the call; its size is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    checked(result).map(drop)
}

/// Makes every descriptor from `first` on close itself at the next exec.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: only sets a flag on descriptors; none is closed while something owns it.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    checked(result).map(drop)
}

/// The kernel's `struct clone_args`: flags, nine fields of which the fourth is the signal of its end, and the
/// group.
#[repr(C)]
struct CloneArguments {
    flags: u64,
    rest: [u64; 9],
    group: u64,
}

/// `CLONE_INTO_CGROUP` of linux/sched.h.
const INTO_GROUP: u64 = 1 << 33;

/// Forks a child; `None` in the child. Only for a process with one thread.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller has one thread, so that no lock is held by a thread the child lacks.
    let pid = checked(i64::from(unsafe { libc::fork() }))?;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// Ends a forked child, and leaves to its parent what would be done at an orderly end.
pub(crate) fn end_at_once(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Forks a child that is a sibling: its parent is this process's parent. `None` in the child.
///
/// Only for a process with one thread; the child's next act is `execute`.
pub(crate) fn fork_sibling() -> io::Result<Option<i32>> {
    // SAFETY: without CLONE_VM the child has its own copy of the memory; all pointers are null. The stage
    // that calls this has one thread, so that no lock is held by a thread the child lacks.
    let result =
        unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0) };
    let pid = checked(result)?;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// The same, with the child born in a group of version 2: the kernel needs no halt of all others for that, as it
/// does to move a process.
pub(crate) fn fork_sibling_into(group: impl AsFd) -> io::Result<Option<i32>> {
    // Without an exit signal, as this parent's is taken over.
    let arguments = CloneArguments {
        flags: u64::from(libc::CLONE_PARENT.unsigned_abs()) | INTO_GROUP,
        rest: [0; 9],
        group: u64::from(group.as_fd().as_raw_fd().unsigned_abs()),
    };
    // SAFETY: as in `fork_sibling`; the structure lives across the call and its size is told.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>())
    };
    let pid = checked(result)?;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// A program to start in a new process.
pub(crate) struct Launch<'a> {
    pub(crate) program: BorrowedFd<'a>,
    pub(crate) arguments: &'a [CString],
    /// What becomes its three standard streams; descriptors above those.
    pub(crate) streams: [RawFd; 3],
    /// Descriptors that it inherits.
    pub(crate) kept: &'a [RawFd],
    /// New namespaces that it is born in: `CLONE_NEW*`.
    pub(crate) namespaces: i32,
    /// The group of version 2 that it is born in.
    pub(crate) group: Option<RawFd>,
}

/// Starts a program, without an environment; its pid. When the program cannot be run, the process ends with the
/// number of the reason as its exit code.
pub(crate) fn launch(launch: &Launch<'_>) -> io::Result<i32> {
    let arguments = pointers(launch.arguments);
    let environment = pointers(&[]);
    let clone = CloneArguments {
        flags: u64::from(launch.namespaces.unsigned_abs())
            | if launch.group.is_some() { INTO_GROUP } else { 0 },
        rest: [0, 0, 0, u64::from(libc::SIGCHLD.unsigned_abs()), 0, 0, 0, 0, 0],
        group: launch.group.map_or(0, |group| u64::from(group.unsigned_abs())),
    };
    // SAFETY: without CLONE_VM the child has its own copy of the memory. Other threads of this process may have
    // held locks, so the child makes system calls alone, on what was prepared above, until it is another program.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const clone, size_of::<CloneArguments>()) };
    if result != 0 {
        let pid = checked(result)?;
        return i32::try_from(pid).map_err(io::Error::other);
    }
    // SAFETY: changes descriptors of the child alone; the arrays end with null and live until the call returns.
    unsafe {
        for (number, stream) in (0..).zip(launch.streams) {
            libc::dup2(stream, number);
        }
        for descriptor in launch.kept {
            libc::fcntl(*descriptor, libc::F_SETFD, 0);
        }
        libc::syscall(
            libc::SYS_execveat,
            launch.program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        libc::_exit(*libc::__errno_location());
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Replaces this process by the program behind `file`; returns only the reason why not.
pub(crate) fn execute(
    file: impl AsFd,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with null and point to strings that live until the call returns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}

/// Replaces this process by the program at `path`; returns only the reason why not.
pub(crate) fn execute_path(
    path: &CString,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with null and point to strings that live until the call returns.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Lets the command's child inherit these descriptors, in the child alone.
pub(crate) fn inherit(command: &mut Command, descriptors: Vec<RawFd>) {
    let clear = move || {
        for descriptor in &descriptors {
            // SAFETY: changes a flag of a descriptor of the child, which its own exec reads.
            checked(i64::from(unsafe { libc::fcntl(*descriptor, libc::F_SETFD, 0) }))?;
        }
        Ok(())
    };
    // SAFETY: the closure calls fcntl alone, which may be called between fork and exec.
    unsafe { command.pre_exec(clear) };
}

/// Takes over a descriptor whose number came through the arguments.
pub(crate) fn adopt(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks for the flags of a number; harmless for any number.
    checked(i64::from(unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
    // SAFETY: the descriptor is open, was passed to this process for this use, and is adopted once.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sends any signal number to the process behind a pidfd.
pub(crate) fn signal(process: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers and a null pointer, which the call allows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<u8>(),
            0,
        )
    };
    checked(result).map(drop)
}

/// Enters new namespaces, `CLONE_NEW*`, nothing that concerns memory or descriptors.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    const NAMESPACES: i32 = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWTIME;
    // SAFETY: only namespaces change (masked), so no memory or descriptor table of another thread is touched.
    checked(i64::from(unsafe { libc::unshare(namespaces & NAMESPACES) })).map(drop)
}

/// Gives the calling thread a mount namespace, and its root and working directory, of its own.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: the thread gets copies; neither memory nor descriptors of other threads change.
    checked(i64::from(unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) })).map(drop)
}

/// The user namespace that owns a namespace (`NS_GET_USERNS`, ioctl_nsfs(2)).
pub(crate) fn owner_of(namespace: impl AsFd) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    let namespace = namespace.as_fd().as_raw_fd();
    // SAFETY: a descriptor and a number; what is given back is a new descriptor.
    let found = checked(i64::from(unsafe { libc::ioctl(namespace, NS_GET_USERNS) }))?;
    let found = i32::try_from(found).map_err(io::Error::other)?;
    // SAFETY: it was just opened, for this alone.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}

/// Enters the namespaces of kinds `kinds` behind a namespace file or a pidfd.
pub(crate) fn join(namespace: impl AsFd, kinds: i32) -> io::Result<()> {
    // SAFETY: a descriptor and a number.
    checked(i64::from(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), kinds) })).map(drop)
}

/// Brings the loopback interface of the present network namespace up.
pub(crate) fn raise_loopback() -> io::Result<()> {
    /// `IFF_UP | IFF_RUNNING` of linux/if.h, in the width of a request.
    const UP: libc::c_short = 0x1 | 0x40;
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: a structure of plain numbers, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: the request lives across both calls, and the flags are the union's member for these requests.
    unsafe {
        checked(i64::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request)))?;
        request.ifr_ifru.ifru_flags |= UP;
        checked(i64::from(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )))?;
    }
    Ok(())
}

/// Sets the execution domain of this process.
pub(crate) fn personality(domain: u64) -> io::Result<()> {
    // SAFETY: a number.
    checked(i64::from(unsafe { libc::personality(domain) })).map(drop)
}

/// Closes every descriptor from `first` on, in a process that owns none of them any more.
pub(crate) fn close_all_from(first: RawFd) {
    let _ = close_from(first);
}

/// Closes every descriptor but the three streams, which others left to this process: for one that has just begun
/// and opened nothing itself.
///
/// # Errors
/// Where the kernel does not know the call: before Linux 5.9.
pub fn close_inherited() -> io::Result<()> {
    close_from(3)
}

fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: by the rules of both callers nothing in this process owns one of them.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Closes every descriptor from `first` on but those in `kept`, in a process that drops nothing any more: it
/// executes a program or ends.
pub(crate) fn close_all_but(first: RawFd, kept: &[RawFd]) {
    let mut kept: Vec<_> = kept.iter().copied().filter(|number| *number >= first).collect();
    kept.sort_unstable();
    let mut from = first;
    for number in kept {
        if from < number {
            // SAFETY: by the rule above nothing in this process uses one of them any more.
            unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) };
        }
        from = number.saturating_add(1);
    }
    close_all_from(from);
}

/// Borrows a descriptor that was passed to this stage and stays open until its exec.
pub(crate) fn borrow(descriptor: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the caller of the stage passed it by number and nothing in the stage owns or closes it.
    unsafe { BorrowedFd::borrow_raw(descriptor.max(0)) }
}
