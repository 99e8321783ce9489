//! Going on after a transfer was cut: how often, and after which wait.

use std::future::Future;
use std::time::Duration;

use crate::StoreError;

/// How often in a row something is tried without progress.
pub const MAX_ATTEMPTS: u32 = 5;
/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Counts attempts at one thing.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    fruitless: u32,
    corrupt: bool,
}

impl Attempts {
    /// After a failed attempt: waits and returns, so that the next one may go on, or hands the
    /// error back. Progress starts the count anew; corrupt bytes are asked for once more, because
    /// what stands between may have broken them.
    pub(crate) async fn go_on(
        &mut self,
        error: StoreError,
        progress: bool,
    ) -> Result<(), StoreError> {
        if matches!(error, StoreError::Corrupt { .. }) && !self.corrupt {
            self.corrupt = true;
            return Ok(());
        }
        if !error.is_transient() {
            return Err(error);
        }
        self.fruitless = if progress { 1 } else { self.fruitless + 1 };
        if self.fruitless >= MAX_ATTEMPTS {
            return Err(error);
        }
        let wait = FIRST_WAIT.saturating_mul(1 << (self.fruitless - 1).min(16));
        tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
        Ok(())
    }
}

/// Tries something small until it succeeds or fails for good.
pub(crate) async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempts = Attempts::default();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => attempts.go_on(error, false).await?,
        }
    }
}
