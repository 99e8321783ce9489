//! Signals of this process: all of them, whatever the C library keeps to itself.

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
