//! Applies observations of pods: their state, their readings, and their marks.

use std::collections::BTreeSet;
use std::sync::Arc;

use pushscale_decision::{Moment, Pod, PodUid, Reading, Rejection, Selector};

use super::ManagedScaler;
use crate::control_loop::effect::{Context, Effect, Effects};
use crate::event::DeletionFacts;
use crate::names::ScalerKey;
use crate::scale_target::PodRef;

impl ManagedScaler {
    /// Applies the state of a pod. Returns whether it has changed: a resync repeats what is known.
    pub(crate) fn apply_pod(
        &mut self,
        now: Moment,
        uid: &PodUid,
        pod: &Pod,
        deletion: DeletionFacts,
        effects: &mut Effects,
    ) -> bool {
        if self.deletion_order.contains(uid, pod, &deletion) {
            return false;
        }
        self.deletion_order
            .apply(uid.clone(), pod.clone(), deletion);
        if let Some(engine) = &mut self.engine {
            engine.apply_pod(now, uid.clone(), pod.clone());
        }
        self.wake_at(now, effects);
        true
    }

    pub(crate) fn remove_pod(&mut self, now: Moment, uid: &PodUid, effects: &mut Effects) {
        self.shared.remove(uid);
        self.deletion_order.remove(uid);
        if let Some(engine) = &mut self.engine {
            engine.remove_pod(now, uid);
        }
        self.wake_at(now, effects);
    }

    /// Applies the complete list of pods. Returns those known ones that were deleted, which are to be removed.
    pub(crate) fn pods_listed(
        &mut self,
        now: Moment,
        uids: &BTreeSet<PodUid>,
        effects: &mut Effects,
    ) -> Vec<PodUid> {
        self.pods_problem = None;
        self.pods_listed = true;
        self.wake_at(now, effects);
        let known = self.deletion_order.uids();
        known.filter(|uid| !uids.contains(uid)).cloned().collect()
    }

    pub(crate) fn pods_unknown(&mut self, now: Moment, why: Selector, effects: &mut Effects) {
        self.pods_problem = Some(why);
        self.pods_listed = false;
        self.wake_at(now, effects);
    }

    /// Records whether a pod also belongs to another object that is scaled, by which scaler.
    pub(crate) fn set_shared(&mut self, uid: &PodUid, with: Option<ScalerKey>) {
        match with {
            Some(other) => self.shared.insert(uid.clone(), other),
            None => self.shared.remove(uid),
        };
    }

    /// Returns the UIDs of all known pods.
    pub(crate) fn pod_uids(&self) -> Vec<PodUid> {
        self.deletion_order.uids().cloned().collect()
    }

    /// Returns the pods with our mark.
    pub(crate) fn marked(&self) -> Vec<PodRef> {
        self.deletion_order.marked()
    }

    /// Learns from a reading, which was taken at `taken`. A scaler whose spec was never valid ignores readings.
    ///
    /// # Errors
    /// The reading contradicts those before.
    pub(crate) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Arc<Reading>,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        if let Some(engine) = &mut self.engine {
            engine.learn(now, uid, taken, reading)?;
            self.deletion_order.observe(uid, taken, reading);
            self.newest_reading = Some(taken);
        }
        self.wake_at(now, effects);
        Ok(())
    }

    /// Records whether the API server forbade marking pods. Slow pods are then not replaced until pods can be marked
    /// again, which every scale-down tries.
    pub(crate) fn set_marks_forbidden(&mut self, forbidden: bool) {
        self.marks_forbidden = forbidden;
    }

    /// Removes our marks from pods that were not deleted. Marked pods are about to be deleted while a write is in
    /// flight, so nothing happens then.
    pub(super) fn unmark_stale_pods(&mut self, context: &Context, effects: &mut Effects) {
        if !context.leads || self.replicas.is_writing() || self.replicas.is_taking_over() {
            return;
        }
        let stale = self.deletion_order.unmark_stale(context.now);
        if !stale.is_empty() {
            effects.push(Effect::Unmark(stale));
        }
        if let Some(at) = self.deletion_order.next_stale() {
            self.wake_at(at, effects);
        }
    }
}
