//! Readiness: an aggregator that is ready could lead. A rollout stops the next aggregator only then.

use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use tokio::time::Instant;

/// How long an aggregator waits for the pods before it is ready. Sidecars find a new aggregator within seconds.
const MAX_WARM_UP: Duration = Duration::from_secs(20);

/// The wait for the pods.
#[derive(Debug)]
pub(super) struct WarmUp {
    latch: Option<ReadinessLatch>,
    /// When the warm-up ends at the latest; `None` before the lists have arrived.
    deadline: Option<Instant>,
}

impl WarmUp {
    pub(super) fn new(latch: ReadinessLatch) -> Self {
        Self {
            latch: Some(latch),
            deadline: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.latch.is_some())
    }

    /// Drops the latch once this aggregator could take over. Called when the lists have arrived.
    pub(super) fn update(&mut self, now: Instant, is_warm: impl FnOnce() -> bool) {
        if self.latch.is_none() {
            return;
        }
        let deadline = *self.deadline.get_or_insert(now + MAX_WARM_UP);
        if now >= deadline || is_warm() {
            self.latch = None;
        }
    }
}
