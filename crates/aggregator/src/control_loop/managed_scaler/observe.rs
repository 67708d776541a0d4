//! Applies observations: of the target, of its pods, and of other autoscalers.

use std::collections::BTreeSet;
use std::sync::Arc;

use pushscale_decision::{Moment, Pod, PodUid, Reading, Rejection, Selector};

use super::ManagedScaler;
use super::replicas::{OwnChange, ScaleRead};
use crate::control_loop::effect::Context;
use crate::event::DeletionFacts;
use crate::names::ScalerKey;

impl ManagedScaler {
    /// Records whether another autoscaler writes the same target.
    pub(crate) fn set_conflict(&mut self, context: &mut Context, with: Option<String>) {
        if self.conflicts_with != with {
            self.conflicts_with = with;
            context.wake_at(context.now);
        }
    }

    /// Applies a read of the scale.
    pub(crate) fn apply_scale(&mut self, context: &mut Context, read: ScaleRead) {
        if let Some(change) = self.replicas.observe(context.now, context.leads, read) {
            // A scaler that writes nothing has no leader whose change it could be.
            let writes = self.writes && self.conflicts_with.is_none();
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
        if self.deletion_order.contains(uid, pod, &deletion) {
            return false;
        }
        let order = &mut self.deletion_order;
        order.apply(uid.clone(), pod.clone(), deletion);
        if let Some(engine) = self.decisions.engine_mut() {
            engine.apply_pod(context.now, uid.clone(), pod.clone());
        }
        context.wake_at(context.now);
        true
    }

    pub(crate) fn remove_pod(&mut self, context: &mut Context, uid: &PodUid) {
        self.selection.set_shared(uid, None);
        self.deletion_order.remove(uid);
        if let Some(engine) = self.decisions.engine_mut() {
            engine.remove_pod(context.now, uid);
        }
        context.wake_at(context.now);
    }

    /// Applies the complete list of pods. Returns those known ones that were deleted, which are to be removed.
    pub(crate) fn pods_listed(
        &mut self,
        context: &mut Context,
        uids: &BTreeSet<PodUid>,
    ) -> Vec<PodUid> {
        self.selection.pods_listed();
        context.wake_at(context.now);
        let known = self.deletion_order.uids();
        known.filter(|uid| !uids.contains(uid)).cloned().collect()
    }

    pub(crate) fn pods_unknown(&mut self, context: &mut Context, why: Selector) {
        self.selection.pods_unknown(why);
        context.wake_at(context.now);
    }

    /// Records whether a pod also belongs to another object that is scaled, by which scaler.
    pub(crate) fn set_shared(&mut self, uid: &PodUid, with: Option<ScalerKey>) {
        self.selection.set_shared(uid, with);
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
            self.deletion_order.observe(uid, taken, reading);
            self.newest_reading = Some(taken);
        }
        context.wake_at(context.now);
        Ok(())
    }
}
