//! Reading apart: decompression and the parsing of archives in a process that has no file, no network and no
//! privilege, so that bytes which get the better of a reader get nothing with it.
//!
//! ```text
//!  here                          shared memory                     apart
//!  source ── packed digest ──> slots of packed bytes ──> Decoder ──> Tar
//!  DiffId, limits, files <── slots of: raw bytes, entries, faults <──┘
//! ```
//!
//! What comes back is foreign as well. The raw bytes of the archive all pass through here, where they are hashed,
//! counted and written; entries come between them, each where its content begins. A process that says what no archive
//! says can at the most say it of the layer that it reads: there is one for each.
//!
//! A library starts no process: who wants this hands a [`Starter`] to [`read_apart`], once. Before that, and
//! in programs that never do, everything is read in the process itself.

mod remote;
mod ring;
mod serve;
mod shared;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

pub use serve::serve;

pub(crate) use remote::{Next, Remote};
pub(crate) use wire::{Codec, What};

/// A process that reads, seen from here.
pub trait ReaderProcess: Send {
    /// Tells in words how it ended, which it has done by itself: its line is closed.
    fn gone(&mut self) -> String {
        self.end()
    }

    /// Ends it, where it has not ended by itself, and tells in words how it ended.
    fn end(&mut self) -> String;
}

/// What a process that reads is started with, and nothing else: it gives all of it to [`serve`].
#[derive(Debug)]
pub struct Given {
    /// Its end of the line: a socket of sequenced packets.
    pub line: OwnedFd,
    /// The memory that both ends share.
    pub memory: OwnedFd,
    /// The plain archive whose entries it lists, opened for reading, where it is to list one.
    pub archive: Option<OwnedFd>,
}

/// Starts a process that confines itself and calls [`serve`].
pub type Starter = fn(Given) -> io::Result<Box<dyn ReaderProcess>>;

static STARTER: OnceLock<Starter> = OnceLock::new();

/// From now on foreign bytes are read apart, in processes that `starter` starts. The first call counts.
pub fn read_apart(starter: Starter) {
    let _ = STARTER.set(starter);
}

/// How to start one, where that is wanted.
pub(crate) fn starter() -> Option<Starter> {
    STARTER.get().copied()
}

/// What the process says cannot be.
pub(crate) fn nonsense() -> crate::LayerError {
    crate::LayerError::Read(ring::nonsense())
}
