//! One PushScaler: it has one owner, takes inputs, and returns effects.
//!
//! A scaler has no clock, sends nothing and starts no task; it only cancels its own write. Its state can be rebuilt
//! from what the API server and the sidecars report.

mod checkpoint;
mod decide;
mod decisions;
mod deletion_order;
mod floor;
mod identity;
mod load_clock;
mod observe;
mod on_delete;
mod publish;
mod recorder;
mod replicas;
mod segment;
mod selection;
mod target_object;
#[cfg(test)]
mod tests;
mod wakes;
mod write;

use std::sync::Arc;

use jiff::Timestamp;
use pushscale_decision::{Checkpoint, Moment};

pub(super) use decide::Limits;
pub(super) use replicas::{Cancelled, ScaleRead};
pub use segment::RecordedSegments;

use super::effect::{Context, Learned};
use crate::event::{ScalerFacts, StoredStatus};
use crate::scale_target::ScaleError;
use crate::status::StatusHistory;
use crate::view::ScalerView;
use checkpoint::CheckpointState;
use decisions::Decisions;
use identity::Identity;
use on_delete::OnDelete;
use publish::Publisher;
use target_object::TargetObject;
use wakes::Wakes;

/// The state of one PushScaler. Each part owns its own, and handles the inputs that concern it alone; this type passes
/// on the others, and what follows from one part for another.
pub(super) struct ManagedScaler {
    pub(super) id: Identity,
    /// Whether the mode is Apply and the PushScaler is not being deleted. A scaler that writes nothing has no conflict.
    writes: bool,
    pub(super) object: TargetObject,
    pub(super) decisions: Decisions,
    pub(super) wakes: Wakes,
    on_delete: OnDelete,
    checkpoint: CheckpointState,
    pub(super) publisher: Publisher,
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
            id: Identity::new(facts),
            writes: false,
            object: TargetObject::default(),
            decisions: Decisions::new(facts.conditions.clone()),
            wakes: Wakes::default(),
            on_delete: OnDelete::new(facts.deletion.clone()),
            checkpoint: CheckpointState::new(now, &facts.uid),
            publisher: Publisher::new(status_history(facts)),
        };
        scaler.apply_spec(now, facts);
        scaler
    }

    /// Whether it writes replica counts unless another autoscaler does: its mode is Apply, and it is not being deleted.
    pub(super) fn writes(&self) -> bool {
        self.writes
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
        let pods = self.object.deletion_order.pods();
        let applies = self.decisions.apply_spec(now, facts, pods);
        self.writes = applies && !self.on_delete.is_deleting();
        // What is restored at the deletion depends on the outcome of the write.
        if !self.writes && !self.on_delete.is_restoring() {
            self.object.replicas.cancel_write();
        }
    }

    /// This aggregator has become the leader. The scale, the status and the checkpoint are read before they are
    /// written: the last view of them may be older than the previous leader's last write.
    pub(super) fn take_over(&mut self, context: &mut Context) {
        self.object.replicas.take_over(context.instant);
        self.publisher.take_over(context.instant);
        // The previous leader may know what happened before this aggregator started.
        self.checkpoint.read_again();
        context.wake_at(context.now);
    }

    /// Continues the status that the previous leader has written, if there is one of this object and target.
    pub(super) fn continue_status(&mut self, context: &mut Context, stored: Option<StoredStatus>) {
        let is_own =
            |stored: &StoredStatus| stored.uid == self.id.uid && stored.target == self.id.target;
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
        if !self.object.replicas.is_taking_over()
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
            tracing::info!(autoscaler = %self.id.key, models = found.models.len(), "checkpoint restored");
        }
    }

    /// Whether there is something to store, and an object to store it for.
    fn has_checkpoint(&self) -> bool {
        self.decisions.engine().is_some() && !self.on_delete.is_deleting()
    }

    /// Whether most pods have reported, or nothing is decided for this scaler.
    pub(super) fn is_warm(&self) -> bool {
        let Some(decision) = self.decisions.last() else {
            return self.on_delete.is_deleting() || !self.decisions.spec_problems().is_empty();
        };
        // A read that failed shows no pods, which is not the same as pods that have reported.
        if self.writes && !self.object.is_read() {
            return false;
        }
        let freshness = &decision.freshness;
        let silent = freshness.stale + freshness.never_reported;
        silent * 5 <= freshness.running()
    }

    pub(super) fn view(&self, now: Moment) -> ScalerView {
        let engine = self.decisions.engine();
        ScalerView::new(
            &self.id.key,
            &self.id.target,
            now,
            self.decisions.last().map(Arc::as_ref),
            engine.and_then(|engine| engine.start_delay()),
            self.publisher.reported(),
            self.decisions.problem_texts(),
        )
    }
}
