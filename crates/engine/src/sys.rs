//! The system calls that no crate wraps safely: each one function, with what makes it sound.
#![allow(unsafe_code)]

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

/// Gives every signal its default again and blocks none, as a program expects to start.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // Zeroes are the default action with no flags. The call is made bare, since the C library keeps two
        // signals to itself, which an ancestor may have ignored all the same.
        let default = [0_u64; 8];
        // SAFETY: the structure of the kernel is smaller than the array and only read; for signals that
        // cannot be changed the call only fails.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
    }
    // SAFETY: an empty set is made in place and then read by the kernel.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// The signals that a process does not take for now.
pub(crate) struct Blocked(libc::sigset_t);

/// Blocks all signals that can be; gives those that were blocked before.
pub(crate) fn block_signals() -> Blocked {
    // SAFETY: both sets are made in place; the calls write to them and read them alone.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        Blocked(before)
    }
}

/// Blocks these signals and no others.
pub(crate) fn restore_signals(before: &Blocked) {
    // SAFETY: the set is read alone.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const before.0, std::ptr::null_mut());
    }
}

/// Waits for any signal, all of which must be blocked.
pub(crate) fn next_signal() -> i32 {
    // SAFETY: the set is made in place and read alone; nothing is asked about the sender.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, std::ptr::null_mut())
    }
}

/// Sends a signal to a child that was not waited for, so that its pid is its own. Any number of a signal.
pub(crate) fn signal_process(pid: i32, signal: i32) {
    // SAFETY: sends a signal; for a number that is none the call only fails.
    unsafe { libc::kill(pid, signal) };
}

/// Closes every descriptor from `first` on, in a process that owns none of them any more.
pub(crate) fn close_all_from(first: RawFd) {
    // SAFETY: the caller is an init, which uses no descriptor from here on until its end.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Borrows a descriptor that was passed to this stage and stays open until its exec.
pub(crate) fn borrow(descriptor: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the caller of the stage passed it by number and nothing in the stage owns or closes it.
    unsafe { BorrowedFd::borrow_raw(descriptor.max(0)) }
}

/// The commands of bpf(2), and what they are told of device programs (linux/bpf.h).
mod bpf {
    pub(super) const LOAD: i32 = 5;
    pub(super) const ATTACH: i32 = 8;
    pub(super) const OPEN: i32 = 13;
    pub(super) const QUERY: i32 = 16;
    /// `BPF_PROG_TYPE_CGROUP_DEVICE`.
    pub(super) const DEVICE_PROGRAM: u32 = 15;
    /// `BPF_CGROUP_DEVICE`.
    pub(super) const DEVICE: u32 = 6;
    /// `BPF_F_ALLOW_MULTI`: groups below may have programs, too, and all must allow.
    pub(super) const MANY: u32 = 2;
    /// `BPF_F_REPLACE`.
    pub(super) const REPLACE: u32 = 4;
}

/// Calls bpf(2) with one of its attribute structures, whose unused rest the kernel takes for zeroes.
fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: the structure lives across the call and its size is told; what it points to is the callers',
    // who keep that alive across the call, too.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    checked(result)
}

fn address<T>(of: *const T) -> u64 {
    // Exposed: the kernel writes and reads there.
    u64::try_from(of.expose_provenance()).unwrap_or(0)
}

fn opened(descriptor: i64) -> io::Result<OwnedFd> {
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for the caller, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Loads a program that decides over devices.
pub(crate) fn load_device_program(
    program: &[crate::groups::program::Instruction],
) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u32; 2],
        log_buffer: u64,
        rest: [u32; 2],
    }
    let mut attributes = Load {
        kind: bpf::DEVICE_PROGRAM,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: address(program.as_ptr()),
        license: address(c"Apache-2.0".as_ptr()),
        log: [0; 2],
        log_buffer: 0,
        rest: [0; 2],
    };
    opened(bpf(bpf::LOAD, &mut attributes)?)
}

/// Attaches a program to a group of version 2, in place of another one when there is one.
pub(crate) fn attach_device_program(
    group: impl AsFd,
    program: impl AsFd,
    before: Option<&OwnedFd>,
) -> io::Result<()> {
    #[repr(C)]
    struct Attach {
        target: RawFd,
        program: RawFd,
        kind: u32,
        flags: u32,
        replaced: RawFd,
    }
    let mut attributes = Attach {
        target: group.as_fd().as_raw_fd(),
        program: program.as_fd().as_raw_fd(),
        kind: bpf::DEVICE,
        flags: bpf::MANY | if before.is_some() { bpf::REPLACE } else { 0 },
        replaced: before.map_or(0, AsRawFd::as_raw_fd),
    };
    bpf(bpf::ATTACH, &mut attributes).map(drop)
}

/// The ids of the device programs on a group of version 2 itself.
pub(crate) fn device_programs(group: impl AsFd, most: usize) -> io::Result<Vec<u32>> {
    #[repr(C)]
    struct Query {
        target: RawFd,
        kind: u32,
        flags: [u32; 2],
        ids: u64,
        count: u32,
        rest: u32,
    }
    let mut ids = vec![0_u32; most];
    let mut attributes = Query {
        target: group.as_fd().as_raw_fd(),
        kind: bpf::DEVICE,
        flags: [0; 2],
        ids: address(ids.as_mut_ptr()),
        count: u32::try_from(most).map_err(io::Error::other)?,
        rest: 0,
    };
    bpf(bpf::QUERY, &mut attributes)?;
    ids.truncate(usize::try_from(attributes.count).unwrap_or(0));
    Ok(ids)
}

/// Opens a loaded program by its id.
pub(crate) fn open_program(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = [id, 0, 0];
    opened(bpf(bpf::OPEN, &mut attributes)?)
}
