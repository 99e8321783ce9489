//! What a long operation tells while it runs.

use corten_spec::{Descriptor, Digest};

/// One thing that happened to one blob or manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A transfer begins; `from` bytes of it are there already.
    Started {
        /// What is transferred.
        descriptor: Descriptor,
        /// Offset in bytes at which it goes on.
        from: u64,
    },
    /// Bytes arrived.
    Advanced {
        /// Of what.
        digest: Digest,
        /// How many.
        bytes: u64,
    },
    /// A transfer was cut and goes on.
    Resumed {
        /// Of what.
        digest: Digest,
        /// Offset in bytes from which it goes on.
        from: u64,
    },
    /// The target has it now.
    Finished {
        /// What.
        descriptor: Descriptor,
        /// How it came there.
        outcome: Outcome,
    },
}

/// How content came to be in a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent now.
    Copied,
    /// There before.
    Present,
    /// Taken by the target from another of its repositories.
    Mounted,
}

/// Listens to events; called from several threads, must return quickly.
pub trait Progress: Send + Sync {
    /// Takes note of an event.
    fn event(&self, event: Event);
}

/// Listens to nothing.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}
