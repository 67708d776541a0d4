//! The target: its replica count, its pods, and who else writes it.

use std::collections::BTreeSet;

use pushscale_api::ScaleChange;
use pushscale_decision::{Moment, Pod, PodUid, Reading, Selector, TargetState};

use super::deletion_order::DeletionOrder;
use super::replicas::Replicas;
use super::selection::Selection;
use crate::control_loop::effect::{Context, Effect, ScaleWrite};
use crate::event::DeletionFacts;
use crate::names::ScalerKey;
use crate::scale_target::PodRef;

/// What was observed of the target, and the writes of its replica count.
#[derive(Default)]
pub(crate) struct TargetObject {
    pub(super) replicas: Replicas,
    selection: Selection,
    pub(super) deletion_order: DeletionOrder,
    /// When the newest reading since the last write was taken.
    newest_reading: Option<Moment>,
    /// The other autoscaler that writes it.
    conflicts_with: Option<String>,
}

impl TargetObject {
    /// Returns the other autoscaler that writes the same target.
    pub(crate) fn conflicts_with(&self) -> Option<&str> {
        self.conflicts_with.as_deref()
    }

    /// Whether a write of the replica count is in flight.
    pub(crate) fn is_writing(&self) -> bool {
        self.replicas.is_writing()
    }

    /// Records whether another autoscaler writes the same target.
    pub(crate) fn set_conflict(&mut self, context: &mut Context, with: Option<String>) {
        if self.conflicts_with != with {
            self.conflicts_with = with;
            context.wake_at(context.now);
        }
    }

    /// Returns the UIDs of all known pods.
    pub(crate) fn pod_uids(&self) -> Vec<PodUid> {
        self.deletion_order.uids().cloned().collect()
    }

    /// Returns the pods with our mark.
    pub(crate) fn marked(&self) -> Vec<PodRef> {
        self.deletion_order.marked()
    }

    /// Applies the state of a pod. Returns whether it has changed: a resync repeats what is known.
    pub(super) fn apply_pod(&mut self, uid: &PodUid, pod: &Pod, deletion: DeletionFacts) -> bool {
        let order = &mut self.deletion_order;
        let is_changed = !order.contains(uid, pod, &deletion);
        if is_changed {
            order.apply(uid.clone(), pod.clone(), deletion);
        }
        is_changed
    }

    pub(super) fn remove_pod(&mut self, uid: &PodUid) {
        self.selection.set_shared(uid, None);
        self.deletion_order.remove(uid);
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

    /// Records a reading that was taken at `taken`.
    pub(super) fn observe(&mut self, uid: &PodUid, taken: Moment, reading: &Reading) {
        self.deletion_order.observe(uid, taken, reading);
        self.newest_reading = Some(taken);
    }

    /// Whether the target is scaled to zero; `None` before the first read. One that failed shows nothing.
    pub(crate) fn is_at_zero(&self) -> Option<bool> {
        let scale = self.replicas.scale()?;
        Some(scale.as_ref().is_ok_and(|scale| scale.replicas == 0))
    }

    /// Whether the replica count and the pods could be read.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.replicas.scale(), Some(Ok(_))) && !self.selection.is_unlisted()
    }

    /// Returns the input of a decision about the target; `None` until the target and its pods were read. `marks_pods`
    /// is whether pods can be marked for deletion.
    pub(super) fn state(&self, marks_pods: bool) -> Option<TargetState> {
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
    pub(super) fn write(
        &mut self,
        context: &mut Context,
        change: ScaleChange,
        (from, to): (u32, u32),
        is_slow: impl Fn(&PodUid) -> bool,
    ) {
        let cancelled = self.replicas.write_begins(change);
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

    #[cfg(test)]
    pub(super) fn shared_pods(&self) -> usize {
        self.selection.shared_pods()
    }
}
