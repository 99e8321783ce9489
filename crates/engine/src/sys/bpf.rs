//! bpf(2): programs that decide over devices (linux/bpf.h).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

const LOAD: i32 = 5;
const ATTACH: i32 = 8;
const OPEN: i32 = 13;
const QUERY: i32 = 16;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const DEVICE_PROGRAM: u32 = 15;
/// `BPF_CGROUP_DEVICE`.
const DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: groups below may have programs, too, and all must allow.
const MANY: u32 = 2;
/// `BPF_F_REPLACE`.
const REPLACE: u32 = 4;

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
        kind: DEVICE_PROGRAM,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: address(program.as_ptr()),
        license: address(c"Apache-2.0".as_ptr()),
        log: [0; 2],
        log_buffer: 0,
        rest: [0; 2],
    };
    opened(bpf(LOAD, &mut attributes)?)
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
        kind: DEVICE,
        flags: MANY | if before.is_some() { REPLACE } else { 0 },
        replaced: before.map_or(0, AsRawFd::as_raw_fd),
    };
    bpf(ATTACH, &mut attributes).map(drop)
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
        kind: DEVICE,
        flags: [0; 2],
        ids: address(ids.as_mut_ptr()),
        count: u32::try_from(most).map_err(io::Error::other)?,
        rest: 0,
    };
    bpf(QUERY, &mut attributes)?;
    ids.truncate(usize::try_from(attributes.count).unwrap_or(0));
    Ok(ids)
}

/// Opens a loaded program by its id.
pub(crate) fn open_program(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = [id, 0, 0];
    opened(bpf(OPEN, &mut attributes)?)
}
