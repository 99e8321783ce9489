//! The memory that both ends share, mapped into each.
//!
//! Who does not trust the other end makes no reference into it, as that end may write at any time: bytes are copied
//! out before they are looked at, and copied in.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// A mapping of such memory.
pub(super) struct Shared {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and is at the same place for every thread.
unsafe impl Send for Shared {}

/// Memory of a size that neither end can change: what is mapped stays there.
pub(super) fn memory(length: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("corten-reader", flags)?;
    rustix::fs::ftruncate(&memory, length as u64)?;
    let sealed = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, sealed)?;
    Ok(memory)
}

impl Shared {
    /// Maps memory that [`memory`] made, here or at the other end.
    pub(super) fn map(memory: impl AsFd, length: usize) -> io::Result<Self> {
        let found = rustix::fs::fstat(&memory)?.st_size;
        if usize::try_from(found) != Ok(length) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses; its file has this length for ever.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                memory.as_fd(),
                0,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    fn holds(&self, at: usize, length: usize) -> bool {
        at.checked_add(length).is_some_and(|end| end <= self.length)
    }

    /// Copies out; false where `at` and the buffer lead beyond the end.
    #[must_use]
    pub(super) fn read(&self, at: usize, buffer: &mut [u8]) -> bool {
        let holds = self.holds(at, buffer.len());
        if holds {
            // SAFETY: the bytes are inside the mapping, and the buffer is outside. The other end may write them
            // meanwhile: any byte is a valid one, and what was copied changes no more.
            unsafe {
                let from = self.start.as_ptr().add(at);
                std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), buffer.len());
            }
        }
        holds
    }

    /// Copies in; false where `at` and the bytes lead beyond the end.
    #[must_use]
    pub(super) fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let holds = self.holds(at, bytes.len());
        if holds {
            // SAFETY: the bytes are outside the mapping, and where they go is inside.
            unsafe {
                let to = self.start.as_ptr().add(at);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            }
        }
        holds
    }

    /// A place to write into that the other end neither writes nor believes before it was told to; `None` where it
    /// leads beyond the end.
    pub(super) fn place(&mut self, at: usize, length: usize) -> Option<&mut [u8]> {
        if !self.holds(at, length) {
            return None;
        }
        // SAFETY: inside the mapping, which this borrows alone; its bytes began as zeros. Of the other ends that map
        // the same memory, the one that started this process only reads here, and copies what it reads.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at), length) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: nothing refers into the mapping, which is this value's own.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_the_same_and_nothing_beyond() {
        let memory = memory(8192).unwrap();
        let (here, there) =
            (Shared::map(&memory, 8192).unwrap(), Shared::map(&memory, 8192).unwrap());
        assert!(
            here.write(8190, b"xy") && !here.write(8191, b"xy") && !here.write(usize::MAX, b"x")
        );
        let mut two = [0; 2];
        assert!(there.read(8190, &mut two) && !there.read(8191, &mut two));
        assert_eq!(&two, b"xy");
        assert!(rustix::fs::ftruncate(&memory, 4096).is_err());
        assert!(Shared::map(&memory, 4096).is_err());
    }
}
