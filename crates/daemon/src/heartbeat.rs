//! Whether the task that a program depends on still makes progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The last sign of progress of a task. Clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    limit: Duration,
    start: Instant,
    /// Milliseconds from `start` to the last beat.
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Creates the heartbeat of a task that begins now, and is stalled once it has not beaten for longer than `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            start: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Records progress.
    pub fn beat(&self) {
        let since_start = self.start.elapsed().as_millis();
        let millis = u64::try_from(since_start).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// Returns whether the last progress is longer ago than the limit.
    pub fn is_stalled(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last) > self.limit
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_is_stalled_while_it_has_not_beaten_for_the_limit() {
        let heartbeat = Heartbeat::new(Duration::from_secs(30));
        advance(Duration::from_secs(30)).await;
        assert!(!heartbeat.is_stalled());
        heartbeat.clone().beat();
        advance(Duration::from_secs(30)).await;
        assert!(!heartbeat.is_stalled());
        advance(Duration::from_millis(1)).await;
        assert!(heartbeat.is_stalled());
        heartbeat.beat();
        assert!(!heartbeat.is_stalled());
    }
}
