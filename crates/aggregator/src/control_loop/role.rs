//! Leader or follower: a follower keeps the same state and writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use tokio::time::Instant;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::event::StoredStatus;
use crate::names::ScalerKey;

/// How long an aggregator waits for the pods before it is ready. Sidecars find a new aggregator within seconds.
const MAX_WARM_UP: Duration = Duration::from_secs(20);

/// Readiness: an aggregator that is ready could lead. A rollout stops the next aggregator only then.
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
}

impl ControlLoop {
    /// Compares the term with that of the last turn. A new leader reads all scales and statuses before it writes them:
    /// its last view of them may be older than the previous leader's last write.
    pub(super) fn update_role(&mut self) {
        let term = self.leadership.term();
        if term == self.term {
            return;
        }
        self.term = term;
        self.metrics.set_leader(term.is_some());
        if term.is_none() {
            return;
        }
        for key in self.keys() {
            self.with_scaler(&key, |scaler, context| {
                scaler.take_over(context);
            });
        }
        self.reread.notify_one();
    }

    /// Continues the statuses that the previous leader has written.
    pub(super) fn statuses_read(
        &mut self,
        start: Instant,
        mut statuses: BTreeMap<ScalerKey, StoredStatus>,
    ) {
        let mut keys = self.keys();
        keys.retain(|key| self.scalers[key].awaits_status(start));
        for key in keys {
            let stored = statuses.remove(&key);
            self.with_scaler(&key, |scaler, context| {
                scaler.continue_status(context, stored);
            });
        }
    }

    /// Drops the latch of the readiness once this aggregator could take over.
    pub(super) fn update_warm_up(&mut self) {
        if self.warm_up.latch.is_none() || self.is_unlisted() {
            return;
        }
        let now = Instant::now();
        let deadline = *self.warm_up.deadline.get_or_insert(now + MAX_WARM_UP);
        if now >= deadline || self.scalers.values().all(ManagedScaler::is_warm) {
            self.warm_up.latch = None;
        }
    }
}
