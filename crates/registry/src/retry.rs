//! How long to wait before a request is sent again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::Retry;

/// The wait before attempt number `attempt` (the first one is 1, and waits for nothing).
pub(crate) fn pause(retry: &Retry, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(2).min(20);
    let wait = retry.base.saturating_mul(1 << doublings);
    let half = u64::try_from(wait.as_micros() / 2).unwrap_or(u64::MAX).max(1);
    // A fresh `RandomState` hashes the same input to another value each time.
    let random = RandomState::new().build_hasher().finish() % half;
    wait.saturating_add(Duration::from_micros(random)).min(retry.longest)
}

/// The wait that `Retry-After` asks for: seconds, or a date, which is measured from the answer's
/// own `Date` (RFC 9110 section 10.2.3).
pub(crate) fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(after).ok()?.timestamp();
    let now = rfc2822::parse(text(DATE)?).ok()?.timestamp();
    let seconds = until.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let seconds = headers(&[(RETRY_AFTER, "17")]);
        assert_eq!(asked_wait(&seconds), Some(Duration::from_secs(17)));
        let date = headers(&[
            (DATE, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT"),
        ]);
        assert_eq!(asked_wait(&date), Some(Duration::from_secs(30)));
        assert_eq!(asked_wait(&headers(&[(RETRY_AFTER, "soon")])), None);
        assert_eq!(asked_wait(&headers(&[])), None);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry {
            attempts: 9,
            base: Duration::from_millis(100),
            longest: Duration::from_millis(700),
        };
        for (attempt, least) in [(2, 100), (3, 200), (4, 400), (5, 700), (60, 700)] {
            let wait = pause(&retry, attempt);
            let range = Duration::from_millis(least)..=Duration::from_millis(least * 3 / 2);
            assert!(range.contains(&wait), "attempt {attempt}: {wait:?}");
        }
    }
}
