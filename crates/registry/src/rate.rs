//! The least rate of what comes: a peer that sends a byte now and then is never silent, and never done.

use std::time::{Duration, Instant};

use corten_store::Cause;

use crate::cause;

/// Least bytes a second of a body, on the whole, once it has taken longer than a silence may.
const MIN_RATE: u64 = 1024;

/// Measures one body. Only waiting for the peer counts, not what is done with the bytes meanwhile.
pub(crate) struct Rate {
    grace: Duration,
    waited: Duration,
    got: u64,
}

impl Rate {
    /// For a body whose silences may be as long as `grace`.
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, waited: Duration::ZERO, got: 0 }
    }

    /// Takes note that `bytes` came after waiting since `asked`; why that is too slow, where it is.
    pub(crate) fn came(&mut self, bytes: usize, asked: Instant) -> Result<(), Cause> {
        self.waited = self.waited.saturating_add(asked.elapsed());
        self.got = self.got.saturating_add(bytes as u64);
        let due = Duration::from_millis(self.got.saturating_mul(1000) / MIN_RATE);
        if self.waited <= self.grace.saturating_add(due) {
            return Ok(());
        }
        let (got, waited) = (self.got, self.waited.as_secs_f32());
        Err(cause(format!(
            "it sends less than {MIN_RATE} bytes a second: {got} bytes in {waited} s"
        )))
    }
}
