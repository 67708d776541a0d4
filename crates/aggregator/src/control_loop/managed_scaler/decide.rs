//! Decides, and begins the write of the replica count.

use pushscale_api::ScaleChange;
use pushscale_decision::{Decision, Outcome, PodUid, SYNC_PERIOD};

use super::{ManagedScaler, TargetState};
use crate::control_loop::effect::{Context, Effect, ScaleWrite};
use crate::scale_change::scale_change;

/// What all scalers share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum bytes of the scaler's recording.
    pub(crate) recorded_bytes: usize,
    /// Whether pods can be marked for deletion.
    pub(crate) marks_pods: bool,
}

impl ManagedScaler {
    /// Does what is due: changes the finalizer, decides, removes marks of pods, and reads or writes the checkpoint.
    pub(crate) fn wake(&mut self, context: &mut Context, limits: Limits) {
        self.due = None;
        // The replica count is uncertain while a write is in flight. Its end makes the scaler due again.
        if !self.replicas.is_writing() {
            self.on_delete.change_finalizer(context);
            if !self.on_delete.is_deleting() {
                self.decide(context, limits);
            }
        }
        self.unmark_stale_pods(context);
        if self.has_checkpoint()
            && let Some(engine) = self.decisions.engine()
        {
            self.checkpoint.update(context, engine);
        }
    }

    fn decide(&mut self, context: &mut Context, limits: Limits) {
        let now = context.now;
        if !self.decisions.spec_problems().is_empty() {
            self.publish_status(context);
            // The sample behind the external metrics must not become too old.
            context.wake_at(now.plus(SYNC_PERIOD));
            return;
        }
        let Some(target) = self.target_state(limits.marks_pods) else {
            return;
        };
        let bytes = limits.recorded_bytes;
        let Some((mut decision, wake_at)) = self.decisions.decide(context, &target, bytes) else {
            return;
        };
        self.decided = Some(now);
        let leads = context.leads && !self.replicas.is_taking_over();
        let rejected = self.replicas.rejected(now);
        if let Some(rejected) = rejected
            && let Some(engine) = self.decisions.engine_mut()
        {
            // Otherwise the decision would report that the target can be scaled.
            engine.record_scale_failure(now, &rejected.error);
            decision.conditions = engine.conditions().clone();
        }
        if let Outcome::Scale { from, to, reason } = &decision.outcome
            && leads
            && rejected.is_none_or(|rejected| rejected.allows(*from, *to))
        {
            let change = scale_change(&decision, *from, *to, reason);
            if self.on_delete.may_scale_from(change.from) {
                tracing::info!(autoscaler = %self.key, current = from, desired = to, %reason, %decision, "scaling");
                self.write(context, change, *from, *to);
            }
        } else {
            tracing::debug!(autoscaler = %self.key, %decision, "not scaling");
        }
        self.publish_decision(context, decision, leads);
        context.wake_at(wake_at);
    }

    /// Returns the input of a decision about the target; `None` until the target and its pods were read. `marks_pods`
    /// is whether pods can be marked for deletion.
    pub(super) fn target_state(&self, marks_pods: bool) -> Option<TargetState> {
        if let Some(with) = &self.conflicts_with {
            return Some(TargetState::Conflict { with: with.clone() });
        }
        Some(match self.replicas.scale()? {
            Ok(scale) => TargetState::Known {
                replicas: scale.replicas,
                existing: scale.existing,
                selector: self.selection.selector(scale)?,
                deletes_slow_first: marks_pods && self.deletion_order.is_honoured(),
            },
            Err(error) => TargetState::Unreadable {
                message: error.to_string(),
            },
        })
    }

    /// Writes the replica count. Before a scale-down, the slow and the least loaded pods are marked to be deleted
    /// first.
    fn write(&mut self, context: &mut Context, change: ScaleChange, from: u32, to: u32) {
        let cancelled = self.replicas.write_begins(change);
        let engine = self.decisions.engine();
        let is_slow = |uid: &PodUid| engine.is_some_and(|engine| engine.is_slow(uid));
        let marked = match from.checked_sub(to) {
            Some(excess) => self.deletion_order.choose(context.now, excess, is_slow),
            None => Vec::new(),
        };
        context.push(Effect::Write(ScaleWrite {
            from,
            to,
            target_uid: self.replicas.target_uid(),
            marked,
            // Readings that arrive later did not cause this write.
            newest_reading: self.newest_reading.take(),
            cancelled,
        }));
    }

    /// Publishes a new decision, which could be written if this aggregator `leads`.
    fn publish_decision(&mut self, context: &mut Context, decision: Decision, leads: bool) {
        self.publisher.warn_of(context, &decision);
        self.decisions.record(context, decision, leads);
        self.publish_status(context);
    }

    /// Publishes the last decision with the current conditions, or what is wrong with the spec.
    pub(super) fn publish_status(&mut self, context: &mut Context) {
        context.push(Effect::UpdateMetrics);
        // The end of a write publishes. Until then the conditions report that the target can be scaled: if all writes
        // are rejected, the status would never have anything else.
        if self.replicas.is_writing() {
            return;
        }
        if let Some(explained) = self.decisions.explained() {
            let replicas_before = self.on_delete.replicas_before();
            self.publisher
                .publish(context, &self.target, &explained, replicas_before);
        }
    }

    /// Removes our marks from pods that were not deleted. Marked pods are about to be deleted while a write is in
    /// flight, so nothing happens then.
    pub(super) fn unmark_stale_pods(&mut self, context: &mut Context) {
        if !context.leads || self.replicas.is_writing() || self.replicas.is_taking_over() {
            return;
        }
        let stale = self.deletion_order.unmark_stale(context.now);
        if !stale.is_empty() {
            context.push(Effect::Unmark(stale));
        }
        if let Some(at) = self.deletion_order.next_stale() {
            context.wake_at(at);
        }
    }
}
