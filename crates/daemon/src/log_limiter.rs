//! Limits log lines that others can cause.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Limits the log lines of one kind to a number per interval, and counts those that are left out.
///
/// A line that is left out costs a lock and an addition. The count appears with the next line that is logged:
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use pushscale_daemon::log_limiter::LogLimiter;
/// let limiter = LogLimiter::new(5, Duration::from_secs(60));
/// if let Some(left_out) = limiter.allow(Instant::now()) {
///     tracing::warn!(left_out, "TokenReview failed");
/// }
/// ```
#[derive(Debug)]
pub struct LogLimiter {
    lines: u32,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interval_start: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl Default for LogLimiter {
    /// Five lines per minute: enough to see that errors differ.
    fn default() -> Self {
        Self::new(5, Duration::from_secs(60))
    }
}

impl LogLimiter {
    /// Creates a limiter that allows `lines` per `interval`.
    pub fn new(lines: u32, interval: Duration) -> Self {
        Self {
            lines,
            interval,
            state: Mutex::default(),
        }
    }

    /// Returns the number of lines that were left out since the last one, or `None` if this line is to be left out.
    pub fn allow(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let is_over = |start| now.saturating_duration_since(start) >= self.interval;
        if state.interval_start.is_none_or(is_over) {
            state.interval_start = Some(now);
            state.logged = 0;
        }
        if state.logged >= self.lines {
            state.left_out += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    #[test]
    fn a_flood_leaves_a_few_lines_and_their_count() {
        let limiter = LogLimiter::new(2, INTERVAL);
        let start = Instant::now();
        let allowed: Vec<_> = (0..1000).filter_map(|_| limiter.allow(start)).collect();
        assert_eq!(allowed, [0, 0]);
        assert_eq!(limiter.allow(start + INTERVAL / 2), None);
        assert_eq!(limiter.allow(start + INTERVAL), Some(999));
        assert_eq!(limiter.allow(start + INTERVAL), Some(0));
        assert_eq!(limiter.allow(start + INTERVAL), None);
    }

    #[test]
    fn rare_lines_are_all_logged() {
        let limiter = LogLimiter::default();
        let start = Instant::now();
        assert!((0..100).all(|minute| limiter.allow(start + INTERVAL * minute) == Some(0)));
    }
}
