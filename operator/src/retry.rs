//! How long to wait after failures: longer each time, apart for each object.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::recent::Recent;

/// Failures in a row, by object. Those of one that goes while it fails are forgotten with time.
#[derive(Debug, Default)]
pub struct Retries {
    failures: Mutex<Recent<u32>>,
}

impl Retries {
    /// Counts one more failure and says how long to wait: 1 s to 5 min, with jitter.
    pub fn failed(&self, object: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.get(object).copied().unwrap_or_default().saturating_add(1);
        failures.note(object, count, Instant::now());
        jittered(backoff(count))
    }

    /// Failures in a row so far.
    #[must_use]
    pub fn count(&self, object: &str) -> u32 {
        self.lock().get(object).copied().unwrap_or_default()
    }

    /// Forgets the failures of an object.
    pub fn succeeded(&self, object: &str) {
        self.lock().forget(object);
    }

    fn lock(&self) -> MutexGuard<'_, Recent<u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 1 s, 2 s, 4 s … up to 5 min.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(9);
    Duration::from_secs(1 << doublings).min(Duration::from_secs(300))
}

/// The duration, up to a tenth shorter or longer.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_success_starts_over() {
        assert_eq!(backoff(1), Duration::from_secs(1));
        assert_eq!(backoff(4), Duration::from_secs(8));
        assert_eq!(backoff(1_000), Duration::from_secs(300));
        let retries = Retries::default();
        retries.failed("a");
        assert!(retries.failed("a") > Duration::from_millis(1_700));
        assert_eq!((retries.count("a"), retries.count("b")), (2, 0));
        retries.succeeded("a");
        assert_eq!(retries.count("a"), 0);
    }
}
