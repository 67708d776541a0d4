//! Rate limit of one pod's pushes over all its connections: a leaky bucket (GCRA, ITU-T I.371).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Mean time between pushes. The fastest sidecar pushes every 100 ms.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// Pushes accepted at once: delayed pushes arrive together.
const BURST: u32 = 8;

/// The time at which the bucket will be empty.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Mutex<Option<Instant>>);

impl RateLimiter {
    /// Returns whether a push is allowed at `now`, and counts it if so.
    pub(super) fn try_acquire(&self, now: Instant) -> bool {
        let mut empty_at = self.0.lock();
        let start = empty_at.map_or(now, |at| at.max(now));
        if start.duration_since(now) > INTERVAL * (BURST - 1) {
            return false;
        }
        *empty_at = Some(start + INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_push_per_interval() {
        let limiter = RateLimiter::default();
        let start = Instant::now();
        for push in 0..BURST {
            assert!(limiter.try_acquire(start), "{push}");
        }
        assert!(!limiter.try_acquire(start));
        assert!(!limiter.try_acquire(start + INTERVAL / 2));
        assert!(limiter.try_acquire(start + INTERVAL));
        assert!(!limiter.try_acquire(start + INTERVAL));
    }
}
