//! Makes the decisions that are due and starts the writes.

use std::sync::Arc;

use jiff::Timestamp;
use pushscale_api::ScaleChange;
use pushscale_decision::{Decision, Hold, Moment, Outcome, PodUid, SYNC_PERIOD};
use tokio::sync::oneshot;

use super::ControlLoop;
use super::scale_write::{write_as_leader, write_scale};
use super::segment::RecordedSegments;
use crate::event::Event;
use crate::metrics::{DecisionOutcome, DeletionCostOutcome};
use crate::names::ScalerKey;
use crate::scale_change::scale_change;
use crate::scale_target::ScaleError;

/// Bytes of the recordings of all scalers together.
const RECORDED_BYTES: usize = 32 << 20;

/// Maximum bytes of the recording of one scaler: about ten minutes of ten pods with one model.
const MAX_RECORDED_BYTES: usize = 4 << 20;

impl ControlLoop {
    /// Returns a scaler's recorded decisions; `None` if the scaler does not exist.
    pub(super) fn recordings(&mut self, key: &ScalerKey) -> Option<RecordedSegments> {
        let now = self.now();
        let scaler = self.scalers.get_mut(key)?;
        Some(match &mut scaler.engine {
            Some(engine) => engine.recordings(now),
            None => RecordedSegments(Vec::new()),
        })
    }

    /// Decides for each scaler that is due.
    pub(super) fn decide_due(&mut self) {
        self.update_role();
        if self.is_unlisted() {
            return;
        }
        let now = self.now();
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            self.due.pop_first();
            // With thousands of scalers, a turn may take long without being stalled.
            self.heartbeat.beat();
            if let Some(scaler) = self.scalers.get_mut(&key) {
                scaler.due = None;
                self.decide(now, &key);
                self.unmark_stale_pods(&key);
                self.update_checkpoint(now, &key);
            }
        }
        self.update_warm_up();
        self.metrics
            .set_known(self.scalers.len(), self.pod_index.len());
    }

    fn decide(&mut self, now: Moment, key: &ScalerKey) {
        let recorded_bytes = (RECORDED_BYTES / self.scalers.len().max(1)).min(MAX_RECORDED_BYTES);
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        // The replica count is uncertain while a write is in flight. Its end makes the scaler due again.
        if scaler.replicas.is_writing() {
            return;
        }
        self.change_finalizer(now, key);
        let Some(scaler) = self
            .scalers
            .get_mut(key)
            .filter(|scaler| !scaler.deletion.deleting)
        else {
            return;
        };
        let facts = scaler.target_state(self.scale_target.marks_pods());
        if !scaler.spec_problems.is_empty() {
            self.publish_status(now, key);
            // The sample behind the external metrics must not become too old.
            self.mark_due(key, now.plus(SYNC_PERIOD));
            return;
        }
        let Some(facts) = facts else { return };
        let clock = Timestamp::now();
        let floor = scaler.scheduled_floor(clock);
        let Some(engine) = &mut scaler.engine else {
            return;
        };
        engine.set_capacity(recorded_bytes);
        engine.set_scheduled_floor(now, floor.replicas);
        let mut decision = engine.decide(now, &facts);
        scaler.decided = Some(now);
        let leads = self.term.is_some() && !scaler.replicas.is_taking_over();
        self.metrics.decided(if leads {
            outcome_of(&decision)
        } else {
            DecisionOutcome::Following
        });
        let wake_at = match floor
            .until
            .and_then(|until| (until - clock).try_into().ok())
        {
            Some(remaining) => decision.wake_at.min(now.plus(remaining)),
            None => decision.wake_at,
        };
        let rejected = scaler.replicas.rejected(now);
        if let Some(rejected) = rejected {
            // Otherwise the decision would report that the target can be scaled.
            engine.record_scale_failure(now, &rejected.error);
            decision.conditions = engine.conditions().clone();
        }
        if let Outcome::Scale { from, to, reason } = &decision.outcome
            && leads
            && rejected.is_none_or(|rejected| rejected.allows(*from, *to))
        {
            let change = scale_change(&decision, *from, *to, reason);
            if scaler.may_scale_from(change.from) {
                tracing::info!(autoscaler = %key, current = from, desired = to, %reason, %decision, "scaling");
                self.write(now, key, change, *from, *to);
            }
        } else {
            tracing::debug!(autoscaler = %key, %decision, "not scaling");
        }
        self.publish_decision(now, key, decision);
        self.mark_due(key, wake_at);
    }

    /// Writes the replica count in a separate task, which ends with [`Event::WriteFinished`]. Before a scale-down, the
    /// slow and the least loaded pods are marked to be deleted first.
    fn write(&mut self, now: Moment, key: &ScalerKey, change: ScaleChange, from: u32, to: u32) {
        let (Some(term), Some(scaler)) = (self.term, self.scalers.get_mut(key)) else {
            return;
        };
        let (cancel_guard, cancelled) = oneshot::channel();
        scaler.replicas.write_begins(change, cancel_guard);
        let engine = scaler.engine.as_ref();
        let is_slow = |uid: &PodUid| engine.is_some_and(|engine| engine.is_slow(uid));
        let marked = match from.checked_sub(to) {
            Some(excess) => scaler.deletion_order.choose(now, excess, is_slow),
            None => Vec::new(),
        };
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let target = scaler.target.clone();
        let uid = scaler.replicas.target_uid();
        let events = self.events_tx.clone();
        let watch = scaler.watch.clone();
        // Readings that arrive later did not cause this write.
        let newest_reading = scaler.newest_reading.take();
        let mark_reporter = self.mark_reporter.clone();
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            let mut marks_forbidden = None;
            // The marks are a hint: the replica count is written whether or not they succeed.
            if !marked.is_empty() {
                let mark = scale_target.mark_for_deletion(&target, &marked);
                if let Some(result) = leadership.write_until_end(term, mark).await {
                    mark_reporter.report(&watch.scaler, &result, DeletionCostOutcome::Marked);
                    let is_known = result.forbidden || result.updated > 0;
                    marks_forbidden = is_known.then_some(result.forbidden);
                }
            }
            let write = write_scale(&*scale_target, &target, uid.as_deref(), from, to, &metrics);
            let outcome = tokio::select! {
                biased;
                // The scaler is gone, or no longer writes.
                _ = cancelled => Err(ScaleError::Cancelled { target: target.to_string() }),
                outcome = write_as_leader(&leadership, term, &target, write) => outcome,
            };
            let finished = Event::WriteFinished {
                watch,
                target,
                from,
                to,
                marked,
                newest_reading,
                marks_forbidden,
                outcome,
            };
            if events.send(finished).await.is_err() {
                tracing::debug!("write finished after the control loop exited");
            }
        });
    }
}

fn outcome_of(decision: &Decision) -> DecisionOutcome {
    match &decision.outcome {
        Outcome::Scale { from, to, .. } if to > from => DecisionOutcome::ScaleUp,
        Outcome::Scale { .. } => DecisionOutcome::ScaleDown,
        Outcome::Recommend { .. } => DecisionOutcome::Recommended,
        Outcome::Hold(Hold::ModeOff) => DecisionOutcome::ModeOff,
        Outcome::Hold(Hold::RightSize) => DecisionOutcome::RightSize,
        Outcome::Hold(Hold::TargetUnreadable) => DecisionOutcome::TargetUnreadable,
        Outcome::Hold(Hold::Conflict) => DecisionOutcome::Conflict,
        Outcome::Hold(Hold::Disabled) => DecisionOutcome::Disabled,
        Outcome::Hold(Hold::SelectorUnusable) => DecisionOutcome::SelectorUnusable,
        Outcome::Hold(Hold::InsufficientData) => DecisionOutcome::InsufficientData,
    }
}
