//! Decides, and begins the write of the replica count.

use pushscale_api::ScaleChange;
use pushscale_decision::{Moment, Outcome, PodUid, SYNC_PERIOD};

use super::{ManagedScaler, RecordedSegments};
use crate::control_loop::effect::{Context, Effect, Effects, ScaleWrite};
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
    pub(crate) fn wake(&mut self, context: &Context, limits: Limits, effects: &mut Effects) {
        self.due = None;
        // The replica count is uncertain while a write is in flight. Its end makes the scaler due again.
        if !self.replicas.is_writing() {
            self.change_finalizer(context, effects);
            if !self.deletion.deleting {
                self.decide(context, limits, effects);
            }
        }
        self.unmark_stale_pods(context, effects);
        self.update_checkpoint(context, effects);
    }

    fn decide(&mut self, context: &Context, limits: Limits, effects: &mut Effects) {
        let Context { now, clock, .. } = *context;
        if !self.spec_problems.is_empty() {
            self.publish_status(context, effects);
            // The sample behind the external metrics must not become too old.
            self.wake_at(now.plus(SYNC_PERIOD), effects);
            return;
        }
        let Some(target) = self.target_state(limits.marks_pods) else {
            return;
        };
        let floor = self.scheduled_floor(clock);
        let Some(engine) = &mut self.engine else {
            return;
        };
        engine.set_capacity(limits.recorded_bytes);
        engine.set_scheduled_floor(now, floor.replicas);
        let mut decision = engine.decide(now, &target);
        self.decided = Some(now);
        let leads = context.leads && !self.replicas.is_taking_over();
        let until = floor
            .until
            .and_then(|until| (until - clock).try_into().ok());
        let wake_at = until.map_or(decision.wake_at, |remaining| {
            decision.wake_at.min(now.plus(remaining))
        });
        let rejected = self.replicas.rejected(now);
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
            if self.may_scale_from(change.from) {
                tracing::info!(autoscaler = %self.key, current = from, desired = to, %reason, %decision, "scaling");
                self.write(now, change, *from, *to, effects);
            }
        } else {
            tracing::debug!(autoscaler = %self.key, %decision, "not scaling");
        }
        self.publish_decision(context, decision, leads, effects);
        self.wake_at(wake_at, effects);
    }

    /// Writes the replica count. Before a scale-down, the slow and the least loaded pods are marked to be deleted
    /// first.
    fn write(
        &mut self,
        now: Moment,
        change: ScaleChange,
        from: u32,
        to: u32,
        effects: &mut Effects,
    ) {
        let cancelled = self.replicas.write_begins(change);
        let engine = self.engine.as_ref();
        let is_slow = |uid: &PodUid| engine.is_some_and(|engine| engine.is_slow(uid));
        let marked = match from.checked_sub(to) {
            Some(excess) => self.deletion_order.choose(now, excess, is_slow),
            None => Vec::new(),
        };
        effects.push(Effect::Write(ScaleWrite {
            from,
            to,
            target_uid: self.replicas.target_uid(),
            marked,
            // Readings that arrive later did not cause this write.
            newest_reading: self.newest_reading.take(),
            cancelled,
        }));
    }

    /// Returns the recorded decisions.
    pub(crate) fn recordings(&mut self, now: Moment) -> RecordedSegments {
        match &mut self.engine {
            Some(engine) => engine.recordings(now),
            None => RecordedSegments(Vec::new()),
        }
    }
}
