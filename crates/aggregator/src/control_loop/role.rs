//! Leader or follower: a follower keeps the same state and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_decision::Moment;
use tokio::time::{Instant, sleep};

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::event::{Event, WatchId};
use crate::names::TargetRef;
use crate::scale_target::{Scale, ScaleError};

/// How long an aggregator waits for the pods before it is ready. Sidecars find a new aggregator within seconds.
const MAX_WARM_UP: Duration = Duration::from_secs(20);

/// Maximum concurrent reads when this aggregator becomes the leader. Reads of a thousand targets take about a second.
const MAX_CONCURRENT_READS: usize = 32;

/// Time until a failed read is repeated.
const READ_RETRY: Duration = Duration::from_secs(1);

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
    /// Compares the role with that of the last turn. A new leader reads all scales before it writes: its last view of
    /// a scale may be older than the previous leader's last write.
    pub(super) fn update_role(&mut self) {
        let leads = self.leadership.is_leader();
        if leads == self.leads {
            return;
        }
        self.leads = leads;
        self.metrics.set_leader(leads);
        if !leads {
            return;
        }
        let mut targets = Vec::new();
        for scaler in self.scalers.values_mut() {
            scaler.taking_over = true;
            // The status is written again, whatever the previous leader wrote.
            scaler.status = None;
            targets.push((scaler.watch.clone(), scaler.target.clone()));
        }
        self.take_over(targets, Duration::ZERO);
        self.mark_all_due();
    }

    /// Reads the scales of `targets` in a separate task, after `delay`.
    fn take_over(&self, targets: Vec<(WatchId, TargetRef)>, delay: Duration) {
        let scale_target = Arc::clone(&self.scale_target);
        let events = self.events_tx.clone();
        tokio::spawn(async move {
            sleep(delay).await;
            let reads = stream::iter(targets).map(|(watch, target)| {
                let scale_target = Arc::clone(&scale_target);
                async move {
                    let scale = scale_target.read(&target).await;
                    Event::TakenOver { watch, scale }
                }
            });
            let mut reads = reads.buffer_unordered(MAX_CONCURRENT_READS);
            while let Some(event) = reads.next().await {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn taken_over(&mut self, watch: &WatchId, scale: Result<Scale, ScaleError>) {
        let is_read = scale.is_ok();
        self.apply_scale(watch, scale);
        let Some(scaler) = self.scalers.get_mut(&watch.scaler) else {
            return;
        };
        if scaler.watch != *watch || !scaler.taking_over {
            return;
        }
        if is_read {
            scaler.taking_over = false;
        } else {
            let target = (watch.clone(), scaler.target.clone());
            self.take_over(vec![target], READ_RETRY);
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
    /// Whether most pods have reported, or nothing is decided for this scaler.
    fn is_warm(&self) -> bool {
        let Some(decision) = &self.last_decision else {
            return !self.spec_problems.is_empty();
        };
        // A read that failed shows no pods, which is not the same as pods that have reported.
        if self.writes && !matches!(self.scale, Some(Ok(_))) {
            return false;
        }
        let freshness = &decision.freshness;
        let silent = freshness.stale + freshness.never_reported;
        silent * 5 <= freshness.running()
    }

    /// Records a change of the replica count as the leader's, while another aggregator leads. Otherwise this
    /// aggregator, once promoted, would take it for the change of a client that works against it.
    ///
    /// A scaler that writes nothing has no leader whose change it could be.
    pub(super) fn follow_change(&mut self, now: Moment, to: u32) {
        if !self.writes || self.conflicts_with.is_some() {
            return;
        }
        if let Some(from) = self.last_replicas
            && from != to
            && let Some(engine) = &mut self.engine
        {
            engine.record_scale(now, from, to);
        }
    }
}
