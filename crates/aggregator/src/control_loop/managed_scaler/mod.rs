//! One PushScaler: it has one owner, takes inputs, and returns effects.
//!
//! A scaler has no clock, sends nothing and starts no task; it only cancels its own write. Its state can be rebuilt
//! from what the API server and the sidecars report.

mod checkpoint;
mod decide;
mod decisions;
mod deletion_order;
mod floor;
mod load_clock;
mod observe;
mod on_delete;
mod publish;
mod recorder;
mod replicas;
mod segment;
mod selection;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Checkpoint, Moment, PodUid, TargetState};
use pushscale_external_metrics::Sample;
use tokio::time::Instant;

pub(super) use decide::Limits;
pub(super) use replicas::{Cancelled, ScaleRead};
pub use segment::RecordedSegments;

use super::effect::{Context, Learned};
use crate::event::{ScalerFacts, StoredStatus, WatchId};
use crate::history::ScalerSubject;
use crate::metrics::ScalerSample;
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{PodRef, ScaleError};
use crate::status::StatusHistory;
use crate::view::ScalerView;
use checkpoint::CheckpointState;
use decisions::Decisions;
use deletion_order::DeletionOrder;
use on_delete::OnDelete;
use publish::Publisher;
use replicas::Replicas;
use selection::Selection;

/// Minimum time between two decisions of one scaler. A thousand pods push a thousand times per second, and the
/// stabilization windows keep every decision.
const MIN_DECISION_INTERVAL: Duration = Duration::from_millis(250);

/// The state of one PushScaler. Each part owns its own; this type passes the inputs on, and what follows from one part
/// for another.
pub(super) struct ManagedScaler {
    key: ScalerKey,
    /// Its name and target in the history.
    subject: Arc<ScalerSubject>,
    uid: String,
    target: TargetRef,
    watch: WatchId,
    /// Whether the mode is Apply and the PushScaler is not being deleted. A scaler that writes nothing has no conflict.
    writes: bool,
    /// The other autoscaler that writes the same target.
    conflicts_with: Option<String>,
    replicas: Replicas,
    selection: Selection,
    deletion_order: DeletionOrder,
    /// When the newest reading since the last write was taken.
    newest_reading: Option<Moment>,
    decisions: Decisions,
    /// When the next decision is due.
    due: Option<Moment>,
    /// When the last decision was made.
    decided: Option<Moment>,
    on_delete: OnDelete,
    checkpoint: CheckpointState,
    publisher: Publisher,
}

fn status_history(facts: &ScalerFacts) -> StatusHistory {
    StatusHistory {
        last_scale_time: facts.last_scale_time,
        transitions: facts.transitions.clone(),
        changes: facts.changes.clone(),
    }
}

impl ManagedScaler {
    pub(super) fn new(now: Moment, facts: &ScalerFacts) -> Self {
        let mut scaler = Self {
            key: facts.key.clone(),
            subject: Arc::new(ScalerSubject::new(facts.key.clone(), &facts.target)),
            uid: facts.uid.clone(),
            target: facts.target.clone(),
            watch: facts.watch.clone(),
            writes: false,
            conflicts_with: None,
            replicas: Replicas::new(),
            selection: Selection::default(),
            deletion_order: DeletionOrder::default(),
            newest_reading: None,
            decisions: Decisions::new(facts.conditions.clone()),
            due: None,
            decided: None,
            on_delete: OnDelete::new(facts.deletion.clone()),
            checkpoint: CheckpointState::new(now, &facts.uid),
            publisher: Publisher::new(status_history(facts)),
        };
        scaler.apply_spec(now, facts);
        scaler
    }

    pub(super) fn subject(&self) -> &Arc<ScalerSubject> {
        &self.subject
    }

    pub(super) fn target(&self) -> &TargetRef {
        &self.target
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Returns the watch that reports the target and its pods.
    pub(super) fn watch(&self) -> &WatchId {
        &self.watch
    }

    /// Whether it writes replica counts unless another autoscaler does: its mode is Apply, and it is not being deleted.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Returns the other autoscaler that writes the same target.
    pub(super) fn conflicts_with(&self) -> Option<&str> {
        self.conflicts_with.as_deref()
    }

    /// Whether a write of the replica count is in flight.
    pub(super) fn is_writing(&self) -> bool {
        self.replicas.is_writing()
    }

    /// Returns when it is to be woken.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Makes it due at `at`, or at the first time after it at which a decision is allowed. Returns that time and the
    /// previous one, unless it is due before.
    pub(super) fn wake_at(&mut self, at: Moment) -> Option<(Moment, Option<Moment>)> {
        let earliest = self
            .decided
            .map(|decided| decided.plus(MIN_DECISION_INTERVAL));
        let at = earliest.map_or(at, |earliest| at.max(earliest));
        if self.due.is_some_and(|due| due <= at) {
            return None;
        }
        Some((at, self.due.replace(at)))
    }

    /// Returns the UIDs of all known pods.
    pub(super) fn pod_uids(&self) -> Vec<PodUid> {
        self.deletion_order.uids().cloned().collect()
    }

    /// Returns the pods with our mark.
    pub(super) fn marked(&self) -> Vec<PodRef> {
        self.deletion_order.marked()
    }

    /// Returns what is wrong with the spec.
    pub(super) fn spec_problems(&self) -> Vec<String> {
        let problems = self.decisions.spec_problems();
        problems.iter().map(ToString::to_string).collect()
    }

    /// Whether this is the same object with the same target. What was learned about another one does not apply.
    pub(super) fn is_of(&self, facts: &ScalerFacts) -> bool {
        self.watch == facts.watch && self.uid == facts.uid
    }

    /// Applies a change of the PushScaler. Returns whether its spec has changed, or its deletion begins.
    pub(super) fn apply(&mut self, context: &mut Context, facts: &ScalerFacts) -> bool {
        let deletion_begins = facts.deletion.deleting && !self.on_delete.is_deleting();
        let is_awaited = self.on_delete.apply(facts.deletion.clone());
        if !context.leads {
            self.on_delete.follow();
            self.publisher.follow(status_history(facts));
        }
        // Our own status writes also arrive here.
        let has_changed = !self.decisions.has_spec_of(facts) || deletion_begins;
        if has_changed {
            self.apply_spec(context.now, facts);
        }
        if has_changed || is_awaited {
            context.wake_at(context.now);
        }
        has_changed
    }

    fn apply_spec(&mut self, now: Moment, facts: &ScalerFacts) {
        let pods = self.deletion_order.pods();
        let applies = self.decisions.apply_spec(now, facts, pods);
        self.writes = applies && !self.on_delete.is_deleting();
        // What is restored at the deletion depends on the outcome of the write.
        if !self.writes && !self.on_delete.is_restoring() {
            self.replicas.cancel_write();
        }
    }

    /// This aggregator has become the leader. The scale, the status and the checkpoint are read before they are
    /// written: the last view of them may be older than the previous leader's last write.
    pub(super) fn take_over(&mut self, context: &mut Context) {
        self.replicas.take_over(context.instant);
        self.publisher.take_over(context.instant);
        // The previous leader may know what happened before this aggregator started.
        self.checkpoint.read_again();
        context.wake_at(context.now);
    }

    /// Whether a status that was read from `start` on is to be continued.
    pub(super) fn awaits_status(&self, start: Instant) -> bool {
        self.publisher.awaits_status(start)
    }

    /// Continues the status that the previous leader has written, if there is one of this object and target.
    pub(super) fn continue_status(&mut self, context: &mut Context, stored: Option<StoredStatus>) {
        let is_own = |stored: &StoredStatus| stored.uid == self.uid && stored.target == self.target;
        let stored = stored.filter(is_own);
        if let Some(stored) = &stored {
            self.on_delete.take_over(stored.replicas_before);
        }
        if let Some(from) = self.publisher.continue_status(stored) {
            self.on_delete.scaled_from(from);
        }
        self.record_predecessors_change(context.clock);
        context.wake_at(context.now);
    }

    /// Adds the previous leader's last change to the history. The scale and the status must have been read before.
    fn record_predecessors_change(&mut self, clock: Timestamp) {
        if !self.replicas.is_taking_over()
            && let Some(from) = self.publisher.record_predecessors_change(clock)
        {
            self.on_delete.scaled_from(from);
        }
    }

    /// Begins the read of the checkpoint if it is to be read, however soon. Returns whether one is in progress.
    pub(super) fn finish_read(&mut self, context: &mut Context) -> bool {
        self.has_checkpoint() && self.checkpoint.finish_read(context)
    }

    /// Returns the checkpoint to write before the exit, if the stored one was read.
    pub(super) fn last_checkpoint(&self, context: &Context) -> Option<Learned> {
        let engine = self.decisions.engine()?;
        (self.has_checkpoint()).then(|| self.checkpoint.last(context, engine))?
    }

    pub(super) fn checkpoint_read(
        &mut self,
        context: &mut Context,
        outcome: Result<Option<Box<Checkpoint>>, ScaleError>,
    ) {
        self.checkpoint.read_finished(context, outcome.is_ok());
        if let (Ok(Some(found)), Some(engine)) = (outcome, self.decisions.engine_mut()) {
            engine.restore_checkpoint(checkpoint::clock(context), &found);
            tracing::info!(autoscaler = %self.key, models = found.models.len(), "checkpoint restored");
        }
    }

    /// Whether there is something to store, and an object to store it for.
    fn has_checkpoint(&self) -> bool {
        self.decisions.engine().is_some() && !self.on_delete.is_deleting()
    }

    /// Records that a status was queued for the API server.
    pub(super) fn status_queued(&mut self, now: Moment, status: PushScalerStatus) {
        self.publisher.status_queued(now, status);
    }

    /// Whether most pods have reported, or nothing is decided for this scaler.
    pub(super) fn is_warm(&self) -> bool {
        let Some(decision) = self.decisions.last() else {
            return self.on_delete.is_deleting() || !self.decisions.spec_problems().is_empty();
        };
        // A read that failed shows no pods, which is not the same as pods that have reported.
        let is_read = matches!(self.replicas.scale(), Some(Ok(_))) && !self.selection.is_unlisted();
        if self.writes && !is_read {
            return false;
        }
        let freshness = &decision.freshness;
        let silent = freshness.stale + freshness.never_reported;
        silent * 5 <= freshness.running()
    }

    /// Returns the last decision and the current conditions, for the metrics.
    pub(super) fn sample(&self) -> ScalerSample {
        self.decisions.sample()
    }

    /// Returns the last decision and the load of the pods; `None` until the target was read.
    pub(super) fn external_sample(&self, context: &Context) -> Option<Sample> {
        let scale = self.replicas.scale()?;
        let load = self.decisions.load(context.now);
        Some(Sample {
            decided: context.instant,
            timestamp: context.clock,
            desired: self.decisions.desired(&load),
            // The last decision may be older: with an invalid spec nothing is decided.
            at_zero: scale.as_ref().is_ok_and(|scale| scale.replicas == 0),
            load,
        })
    }

    pub(super) fn view(&self, now: Moment) -> ScalerView {
        let engine = self.decisions.engine();
        ScalerView::new(
            &self.key,
            &self.target,
            now,
            self.decisions.last().map(Arc::as_ref),
            engine.and_then(|engine| engine.start_delay()),
            self.publisher.reported(),
            self.spec_problems(),
        )
    }

    /// Returns the recorded decisions.
    pub(super) fn recordings(&mut self, now: Moment) -> RecordedSegments {
        self.decisions.recordings(now)
    }
}
