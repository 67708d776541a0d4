//! `onDelete: Restore`: the finalizer, and the replica count to write back before the deletion.
//!
//! Everything follows from what the API server has. The finalizer exists only with `onDelete: Restore`. The replica
//! count from before the first change is in the status before that change is written, so that no leader can lose it.

use pushscale_api::names::RESTORE_FINALIZER;
use pushscale_daemon::backoff::Backoff;
use pushscale_decision::{Moment, Reason};

use super::ManagedScaler;
use crate::control_loop::effect::{Context, Effect, Effects, FinalizerChange};
use crate::event::ScalerDeletion;
use crate::scale_target::{SCALE_BACKOFF, ScaleError};

/// The state of the finalizer and of `status.replicasBefore`.
#[derive(Debug)]
pub(super) struct FinalizerState {
    /// Whether the API server has had `status.replicasBefore`.
    has_stored_replicas_before: bool,
    /// The `status.replicasBefore` from before mode Recommend or Off, until the API server has another one.
    stale_replicas_before: Option<i32>,
    /// Whether a change of the finalizer is in flight.
    changing: bool,
    /// The resource version that the last successful change replaced. The watch has yet to deliver a newer one.
    replaced_version: Option<String>,
    /// Whether the replica count was written back. Later changes of it are another client's. A new leader does not know
    /// this, and may write it back once more.
    is_restored: bool,
    /// No change of the finalizer before this time, after a failed one.
    retry_at: Option<Moment>,
    backoff: Backoff,
}

impl Default for FinalizerState {
    fn default() -> Self {
        Self {
            has_stored_replicas_before: false,
            stale_replicas_before: None,
            changing: false,
            replaced_version: None,
            is_restored: false,
            retry_at: None,
            backoff: SCALE_BACKOFF,
        }
    }
}

impl ScalerDeletion {
    /// Returns the finalizers as they should be, if they are not.
    fn finalizers_wanted(&self) -> Option<Vec<String>> {
        let is_ours = |name: &String| name == RESTORE_FINALIZER;
        let has = self.finalizers.iter().any(is_ours);
        let mut wanted = self.finalizers.clone();
        match (has, self.restores && !self.deleting) {
            (true, false) => wanted.retain(|name| !is_ours(name)),
            // The API server rejects a new finalizer of an object that is being deleted.
            (false, true) => wanted.push(RESTORE_FINALIZER.to_owned()),
            (true, true) | (false, false) => return None,
        }
        Some(wanted)
    }
}

impl ManagedScaler {
    /// Records the state in the API server. Returns whether a decision was waiting for it.
    pub(super) fn apply_deletion(&mut self, mut deletion: ScalerDeletion) -> bool {
        if !deletion.applies {
            // Another autoscaler may scale the target now, so the next change in mode Apply is the first one again.
            self.finalizer.stale_replicas_before = deletion.replicas_before.take();
            self.status_history.replicas_before = None;
            self.finalizer.has_stored_replicas_before = false;
        } else if self.finalizer.stale_replicas_before.is_some() {
            let stored = deletion.replicas_before;
            if stored != self.finalizer.stale_replicas_before
                || stored == self.status_history.replicas_before
            {
                self.finalizer.stale_replicas_before = None;
            } else {
                deletion.replicas_before = None;
            }
        }
        let is_stored = deletion.replicas_before.is_some();
        let is_newly_stored = is_stored && !self.finalizer.has_stored_replicas_before;
        self.finalizer.has_stored_replicas_before |= is_stored;
        self.deletion = deletion;
        is_newly_stored || self.deletion.finalizers_wanted().is_some()
    }

    /// Whether the replica count may be changed from `replicas`. With `onDelete: Restore`, the API server must have
    /// stored the first replica count before.
    pub(super) fn may_scale_from(&mut self, replicas: i32) -> bool {
        if !self.deletion.restores || self.finalizer.has_stored_replicas_before {
            return true;
        }
        self.status_history.replicas_before.get_or_insert(replicas);
        false
    }

    /// Adds or removes the finalizer, if that is due. Before it is removed from a PushScaler that is being deleted, the
    /// replica count is written back.
    pub(super) fn change_finalizer(&mut self, context: &Context, effects: &mut Effects) {
        if !context.leads {
            return;
        }
        let Some(finalizers) = self.deletion.finalizers_wanted() else {
            return;
        };
        let version = self.deletion.resource_version.clone();
        let state = &self.finalizer;
        if state.changing || state.replaced_version.as_ref() == Some(&version) {
            return;
        }
        if let Some(at) = state.retry_at.filter(|at| *at > context.now) {
            self.wake_at(at, effects);
            return;
        }
        self.finalizer.changing = true;
        effects.push(Effect::SetFinalizers(FinalizerChange {
            version,
            finalizers,
            restore: self.replicas_to_restore(),
        }));
    }

    /// Returns the replica count to write back before the deletion; `None` if nothing is to be written.
    fn replicas_to_restore(&self) -> Option<u32> {
        let deletion = &self.deletion;
        // Modes Recommend and Off write nothing, not even at the end.
        let is_due = deletion.deleting && deletion.restores && deletion.applies;
        if !is_due || self.finalizer.is_restored {
            return None;
        }
        let stored = deletion.replicas_before;
        let replicas = stored.or(self.status_history.replicas_before)?;
        u32::try_from(replicas).ok()
    }

    /// Handles the result of a change, which replaced a resource version. `is_restored`: the replica count was written
    /// back, or need not be.
    pub(crate) fn finalizers_set(
        &mut self,
        context: &Context,
        is_restored: bool,
        outcome: Result<String, ScaleError>,
        effects: &mut Effects,
    ) {
        let now = context.now;
        let state = &mut self.finalizer;
        state.changing = false;
        state.is_restored |= is_restored;
        let error = match outcome {
            Ok(version) => {
                state.backoff.reset();
                state.retry_at = None;
                state.replaced_version = Some(version);
                // If another client's change came first, this one was not made and is due with the newer version.
                self.wake_at(now, effects);
                return;
            }
            Err(error) => error,
        };
        let retry_at = now.plus(state.backoff.next_delay());
        state.retry_at = Some(retry_at);
        tracing::warn!(autoscaler = %self.key, %error, "failed to change the finalizer");
        let note = format!(
            "onDelete is Restore; error: {error}; with spec.onDelete Keep, the PushScaler is deleted without restoring the replicas"
        );
        self.warn(context, Reason::FailedRescale, note, effects);
        self.wake_at(retry_at, effects);
    }
}
