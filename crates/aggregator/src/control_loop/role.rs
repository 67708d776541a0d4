//! Leader or follower: a follower keeps the same state and writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_decision::Selector;
use tokio::time::Instant;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::event::{ScalerDeletion, StoredStatus};
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
        for scaler in self.scalers.values_mut() {
            scaler.replicas.take_over();
            scaler.status_unread = Some(Instant::now());
            // The status is written again, whatever the previous leader wrote.
            scaler.status = None;
            // The previous leader may know what happened before this aggregator started.
            scaler.checkpoint.read_again();
        }
        self.reread.notify_one();
        self.mark_all_due();
    }

    /// Continues the statuses that the previous leader has written.
    pub(super) fn statuses_read(
        &mut self,
        began: Instant,
        mut statuses: BTreeMap<ScalerKey, StoredStatus>,
    ) {
        let now = self.now();
        for (key, scaler) in &mut self.scalers {
            if scaler.status_unread.is_none_or(|since| began < since) {
                continue;
            }
            scaler.status_unread = None;
            let stored = statuses.remove(key);
            let is_own =
                |stored: &StoredStatus| stored.uid == scaler.uid && stored.target == scaler.target;
            if let Some(stored) = stored.filter(is_own) {
                scaler.continue_status(stored);
            }
            scaler.record_predecessors_change();
            scaler.mark_due(key, now, &mut self.due);
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

impl ManagedScaler {
    fn continue_status(&mut self, stored: StoredStatus) {
        self.apply_deletion(ScalerDeletion {
            replicas_before: stored.replicas_before,
            ..self.deletion.clone()
        });
        let history = &mut self.status_history;
        history.replicas_before = self.deletion.replicas_before;
        history.transitions = stored.transitions;
        history.continue_changes(stored.last_scale_time, stored.changes);
    }

    /// Whether most pods have reported, or nothing is decided for this scaler.
    fn is_warm(&self) -> bool {
        let Some(decision) = &self.last_decision else {
            return self.deletion.deleting || !self.spec_problems.is_empty();
        };
        // A read that failed shows no pods, which is not the same as pods that have reported.
        let is_read = matches!(self.replicas.scale(), Some(Ok(_)))
            && !matches!(self.pods_problem, Some(Selector::Unlisted { .. }));
        if self.writes && !is_read {
            return false;
        }
        let freshness = &decision.freshness;
        let silent = freshness.stale + freshness.never_reported;
        silent * 5 <= freshness.running()
    }
}
