//! `onDelete: Restore`: the finalizer, and the replica count to write back before the deletion.
//!
//! Everything follows from what the API server has. The finalizer exists only with `onDelete: Restore`. The replica
//! count from before the first change is in the status before that change is written, so that no leader can lose it.

use pushscale_api::names::RESTORE_FINALIZER;
use pushscale_daemon::backoff::Backoff;
use pushscale_decision::Moment;

use crate::control_loop::effect::{Context, Effect, FinalizerChange};
use crate::event::ScalerDeletion;
use crate::scale_target::{SCALE_BACKOFF, ScaleError};

/// What the deletion depends on, the finalizer, and `status.replicasBefore`.
#[derive(Debug)]
pub(super) struct OnDelete {
    /// The state in the API server.
    facts: ScalerDeletion,
    /// The replica count before the first change, for the status.
    replicas_before: Option<i32>,
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

impl OnDelete {
    pub(super) fn new(facts: ScalerDeletion) -> Self {
        let mut new = Self {
            facts: ScalerDeletion::default(),
            replicas_before: None,
            has_stored_replicas_before: false,
            stale_replicas_before: None,
            changing: false,
            replaced_version: None,
            is_restored: false,
            retry_at: None,
            backoff: SCALE_BACKOFF,
        };
        new.apply(facts);
        new.follow();
        new
    }

    /// Records the state in the API server. Returns whether a decision was waiting for it.
    pub(super) fn apply(&mut self, mut facts: ScalerDeletion) -> bool {
        if !facts.applies {
            // Another autoscaler may scale the target now, so the next change in mode Apply is the first one again.
            self.stale_replicas_before = facts.replicas_before.take();
            self.replicas_before = None;
            self.has_stored_replicas_before = false;
        } else if self.stale_replicas_before.is_some() {
            let stored = facts.replicas_before;
            if stored != self.stale_replicas_before || stored == self.replicas_before {
                self.stale_replicas_before = None;
            } else {
                facts.replicas_before = None;
            }
        }
        let is_stored = facts.replicas_before.is_some();
        let is_newly_stored = is_stored && !self.has_stored_replicas_before;
        self.has_stored_replicas_before |= is_stored;
        self.facts = facts;
        is_newly_stored || self.facts.finalizers_wanted().is_some()
    }

    /// Continues the `status.replicasBefore` of the leader.
    pub(super) fn follow(&mut self) {
        self.replicas_before = self.facts.replicas_before;
    }

    /// Continues the `status.replicasBefore` that a new leader has read.
    pub(super) fn take_over(&mut self, replicas_before: Option<i32>) {
        self.apply(ScalerDeletion {
            replicas_before,
            ..self.facts.clone()
        });
        self.follow();
    }

    /// Whether the PushScaler is being deleted.
    pub(super) fn is_deleting(&self) -> bool {
        self.facts.deleting
    }

    /// Whether it is being deleted, and the replica count is written back before.
    pub(super) fn is_restoring(&self) -> bool {
        self.facts.deleting && self.facts.restores
    }

    /// Returns the replica count before the first change.
    pub(super) fn replicas_before(&self) -> Option<i32> {
        self.replicas_before
    }

    /// Records that the replica count was changed from `replicas`.
    pub(super) fn scaled_from(&mut self, replicas: i32) {
        self.replicas_before.get_or_insert(replicas);
    }

    /// Whether the replica count may be changed from `replicas`. With `onDelete: Restore`, the API server must have
    /// stored the first replica count before.
    pub(super) fn may_scale_from(&mut self, replicas: i32) -> bool {
        if !self.facts.restores || self.has_stored_replicas_before {
            return true;
        }
        self.scaled_from(replicas);
        false
    }

    /// Adds or removes the finalizer, if that is due. Before it is removed from a PushScaler that is being deleted, the
    /// replica count is written back.
    pub(super) fn change_finalizer(&mut self, context: &mut Context) {
        if !context.leads {
            return;
        }
        let Some(finalizers) = self.facts.finalizers_wanted() else {
            return;
        };
        let version = self.facts.resource_version.clone();
        if self.changing || self.replaced_version.as_ref() == Some(&version) {
            return;
        }
        if let Some(at) = self.retry_at.filter(|at| *at > context.now) {
            context.wake_at(at);
            return;
        }
        self.changing = true;
        context.push(Effect::SetFinalizers(FinalizerChange {
            version,
            finalizers,
            restore: self.replicas_to_restore(),
        }));
    }

    /// Returns the replica count to write back before the deletion; `None` if nothing is to be written.
    fn replicas_to_restore(&self) -> Option<u32> {
        // Modes Recommend and Off write nothing, not even at the end.
        if !self.is_restoring() || !self.facts.applies || self.is_restored {
            return None;
        }
        let replicas = self.facts.replicas_before.or(self.replicas_before)?;
        u32::try_from(replicas).ok()
    }

    /// Handles the result of a change, which replaced a resource version. `is_restored`: the replica count was written
    /// back, or need not be.
    ///
    /// # Errors
    /// The change failed and is repeated.
    pub(super) fn finalizers_set(
        &mut self,
        context: &mut Context,
        is_restored: bool,
        outcome: Result<String, ScaleError>,
    ) -> Result<(), ScaleError> {
        self.changing = false;
        self.is_restored |= is_restored;
        match outcome {
            Ok(version) => {
                self.backoff.reset();
                self.retry_at = None;
                self.replaced_version = Some(version);
                // If another client's change came first, this one was not made and is due with the newer version.
                context.wake_at(context.now);
                Ok(())
            }
            Err(error) => {
                let retry_at = context.now.plus(self.backoff.next_delay());
                self.retry_at = Some(retry_at);
                context.wake_at(retry_at);
                Err(error)
            }
        }
    }
}
