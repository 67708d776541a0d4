//! Applies observations of the target and of its pods that the engine learns from.

use std::sync::Arc;

use pushscale_decision::{Moment, Pod, PodUid, Reading, Rejection};

use super::ManagedScaler;
use super::replicas::{OwnChange, ScaleRead};
use crate::control_loop::effect::Context;
use crate::event::DeletionFacts;

impl ManagedScaler {
    /// Applies a read of the scale.
    pub(crate) fn apply_scale(&mut self, context: &mut Context, read: ScaleRead) {
        if let Some(change) = self
            .object
            .replicas
            .observe(context.now, context.leads, read)
        {
            // A scaler that writes nothing has no leader whose change it could be.
            let writes = self.writes && self.object.conflicts_with().is_none();
            if writes || change.written.is_some() {
                self.record_change(context, change);
            }
        }
        if context.leads {
            self.record_predecessors_change(context.clock);
        }
        context.wake_at(context.now);
    }

    /// Records a change of the replica count as an aggregator's, so that it counts for the rate limits, and not as
    /// another client's.
    pub(super) fn record_change(&mut self, context: &Context, change: OwnChange) {
        if let Some(engine) = self.decisions.engine_mut() {
            engine.record_scale(context.now, change.from, change.to);
        }
        if let Some(written) = &change.written {
            self.on_delete.scaled_from(written.from);
        }
        self.publisher.record_change(context.clock, change);
    }

    /// Applies the state of a pod. Returns whether it has changed: a resync repeats what is known.
    pub(crate) fn apply_pod(
        &mut self,
        context: &mut Context,
        uid: &PodUid,
        pod: &Pod,
        deletion: DeletionFacts,
    ) -> bool {
        if !self.object.apply_pod(uid, pod, deletion) {
            return false;
        }
        if let Some(engine) = self.decisions.engine_mut() {
            engine.apply_pod(context.now, uid.clone(), pod.clone());
        }
        context.wake_at(context.now);
        true
    }

    pub(crate) fn remove_pod(&mut self, context: &mut Context, uid: &PodUid) {
        self.object.remove_pod(uid);
        if let Some(engine) = self.decisions.engine_mut() {
            engine.remove_pod(context.now, uid);
        }
        context.wake_at(context.now);
    }

    /// Learns from a reading, which was taken at `taken`. A scaler whose spec was never valid ignores readings.
    ///
    /// # Errors
    /// The reading contradicts those before.
    pub(crate) fn learn(
        &mut self,
        context: &mut Context,
        uid: &PodUid,
        taken: Moment,
        reading: &Arc<Reading>,
    ) -> Result<(), Rejection> {
        if let Some(engine) = self.decisions.engine_mut() {
            engine.learn(context.now, uid, taken, reading)?;
            self.object.observe(uid, taken, reading);
        }
        context.wake_at(context.now);
        Ok(())
    }
}
