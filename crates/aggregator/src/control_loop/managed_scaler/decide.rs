//! Decides, and begins the write of the replica count.

use pushscale_decision::{Outcome, PodUid, SYNC_PERIOD};

use super::ManagedScaler;
use crate::control_loop::effect::{Context, Effect};
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
        self.wakes.woken();
        // The replica count is uncertain while a write is in flight. Its end makes the scaler due again.
        if !self.object.replicas.is_writing() {
            self.on_delete.change_finalizer(context);
            if !self.on_delete.is_deleting() {
                self.decide(context, limits);
            }
        }
        self.object.unmark_stale_pods(context);
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
        let Some(target) = self.object.state(limits.marks_pods) else {
            return;
        };
        let bytes = limits.recorded_bytes;
        let Some((mut decision, wake_at)) = self.decisions.decide(context, &target, bytes) else {
            return;
        };
        self.wakes.decided(now);
        let leads = context.leads && !self.object.replicas.is_taking_over();
        let rejected = self.object.replicas.rejected(now);
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
                tracing::info!(autoscaler = %self.id.key, current = from, desired = to, %reason, %decision, "scaling");
                let engine = self.decisions.engine();
                let is_slow = |uid: &PodUid| engine.is_some_and(|engine| engine.is_slow(uid));
                self.object.write(context, change, (*from, *to), is_slow);
            }
        } else {
            tracing::debug!(autoscaler = %self.id.key, %decision, "not scaling");
        }
        self.publisher.warn_of(context, &decision);
        self.decisions.record(context, decision, leads);
        self.publish_status(context);
        context.wake_at(wake_at);
    }

    /// Publishes the last decision with the current conditions, or what is wrong with the spec.
    pub(super) fn publish_status(&mut self, context: &mut Context) {
        context.push(Effect::UpdateMetrics);
        // The end of a write publishes. Until then the conditions report that the target can be scaled: if all writes
        // are rejected, the status would never have anything else.
        if self.object.replicas.is_writing() {
            return;
        }
        if let Some(explained) = self.decisions.explained() {
            let replicas_before = self.on_delete.replicas_before();
            self.publisher
                .publish(context, &self.id.target, &explained, replicas_before);
        }
    }
}
