//! `onDelete: Restore`: the finalizer, and the replica count that is written back before the deletion.
//!
//! Everything follows from what the API server has. The finalizer exists only with `onDelete: Restore`. The replica
//! count from before the first change is in the status before that change is written, so that no leader can lose it.

use std::sync::Arc;

use pushscale_api::names::RESTORE_FINALIZER;
use pushscale_daemon::backoff::Backoff;
use pushscale_decision::{Moment, Reason};

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use super::scale_write::{write_as_leader, write_scale};
use crate::event::{Event, Restore, ScalerDeletion, WatchId};
use crate::metrics::Metrics;
use crate::names::{ScalerKey, TargetRef};
use crate::report::{EventReport, Report};
use crate::scale_target::{SCALE_BACKOFF, ScaleError, ScaleTarget, Written};

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
}

impl ControlLoop {
    /// Adds or removes the finalizer, if that is due, in a separate task, which ends with [`Event::FinalizerChanged`].
    /// Before it removes the finalizer of a PushScaler that is being deleted, it writes the replica count back.
    pub(super) fn change_finalizer(&mut self, now: Moment, key: &ScalerKey) {
        let (Some(term), Some(scaler)) = (self.term, self.scalers.get(key)) else {
            return;
        };
        let Some(finalizers) = scaler.deletion.finalizers_wanted() else {
            return;
        };
        let version = scaler.deletion.resource_version.clone();
        let state = &scaler.finalizer;
        if state.changing || state.replaced_version.as_ref() == Some(&version) {
            return;
        }
        if let Some(at) = scaler.finalizer.retry_at.filter(|at| *at > now) {
            self.mark_due(key, at);
            return;
        }
        let replicas = self.replicas_to_restore(key, scaler);
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let (target, watch) = (scaler.target.clone(), scaler.watch.clone());
        let uid = scaler.uid.clone();
        let (events, metrics) = (self.events_tx.clone(), self.metrics.clone());
        if let Some(scaler) = self.scalers.get_mut(key) {
            scaler.finalizer.changing = true;
        }
        tokio::spawn(async move {
            let mut restored = Restore::NotDue;
            let outcome = write_as_leader(&leadership, term, &target, async {
                if let Some(replicas) = replicas {
                    restored = restore(&*scale_target, &target, replicas, &metrics).await?;
                }
                let scaler = &watch.scaler;
                scale_target
                    .set_finalizers(scaler, &version, &finalizers)
                    .await
            })
            .await;
            let changed = Event::FinalizerChanged {
                watch,
                uid,
                restore: restored,
                outcome: outcome.map(|()| version),
            };
            if events.send(changed).await.is_err() {
                tracing::debug!("finalizer changed after the control loop exited");
            }
        });
    }

    /// Returns the replica count to write back before the deletion; `None` if nothing is to be written.
    fn replicas_to_restore(&self, key: &ScalerKey, scaler: &ManagedScaler) -> Option<u32> {
        let deletion = &scaler.deletion;
        // Modes Recommend and Off write nothing, not even at the end.
        if !(deletion.deleting && deletion.restores && deletion.applies)
            || scaler.finalizer.is_restored
        {
            return None;
        }
        let stored = deletion.replicas_before;
        let replicas = stored.or(scaler.status_history.replicas_before)?;
        if let Some(other) = self.other_writer(key, scaler) {
            tracing::info!(autoscaler = %key, other, "replicas not restored: another autoscaler has the target");
            return None;
        }
        u32::try_from(replicas).ok()
    }

    pub(super) fn finalizer_changed(
        &mut self,
        watch: &WatchId,
        is_restored: bool,
        outcome: Result<String, ScaleError>,
    ) {
        let now = self.now();
        let key = &watch.scaler;
        let scaler = self.scalers.get_mut(key);
        // The PushScaler may be gone, now that it has no finalizer.
        let Some(scaler) = scaler.filter(|scaler| scaler.watch == *watch) else {
            return;
        };
        scaler.finalizer.changing = false;
        scaler.finalizer.is_restored |= is_restored;
        let error = match outcome {
            Ok(version) => {
                scaler.finalizer.backoff.reset();
                scaler.finalizer.retry_at = None;
                scaler.finalizer.replaced_version = Some(version);
                // If another client's change came first, this one was not made and is due with the newer version.
                self.mark_due(key, now);
                return;
            }
            Err(error) => error,
        };
        let retry_at = now.plus(scaler.finalizer.backoff.next_delay());
        scaler.finalizer.retry_at = Some(retry_at);
        tracing::warn!(autoscaler = %key, %error, "failed to change the finalizer");
        let note = format!(
            "onDelete is Restore; error: {error}; with spec.onDelete Keep, the PushScaler is deleted without restoring the replicas"
        );
        self.warn(now, key, Reason::FailedRescale, note);
        self.mark_due(key, retry_at);
    }

    /// Reports that the replica count was written back. The PushScaler may be gone.
    pub(super) fn report_restored(&self, key: &ScalerKey, uid: String, replicas: u32) {
        tracing::info!(autoscaler = %key, replicas, "replicas restored");
        self.report(Report::Event(EventReport {
            scaler: key.clone(),
            uid,
            warning: false,
            reason: Reason::SuccessfulRescale.as_str(),
            action: format!("RestoreTo{replicas}"),
            note: format!("New size: {replicas}; reason: onDelete is Restore"),
        }));
    }

    /// Returns another autoscaler that writes the scaler's target.
    fn other_writer(&self, key: &ScalerKey, scaler: &ManagedScaler) -> Option<String> {
        let mut hpas = self.competing_hpas.iter();
        let hpa = hpas.find(|(_, found)| found.target.is_same_object(&scaler.target));
        let other = self.other_writing_scalers(key, scaler).next();
        let other = other.map(|(other, _)| format!("PushScaler {other}"));
        other.or_else(|| hpa.map(|(hpa, _)| format!("HorizontalPodAutoscaler {hpa}")))
    }

    /// Returns the other PushScalers in mode Apply of the scaler's target. If there is another autoscaler, none of them
    /// writes.
    pub(super) fn other_writing_scalers(
        &self,
        key: &ScalerKey,
        scaler: &ManagedScaler,
    ) -> impl Iterator<Item = (&ScalerKey, &ManagedScaler)> {
        self.scalers.iter().filter(move |(other, found)| {
            *other != key && found.writes && found.target.is_same_object(&scaler.target)
        })
    }
}

/// Writes the replica count back. A target that is gone, or that someone has set to 0, is left alone.
async fn restore(
    scale_target: &dyn ScaleTarget,
    target: &TargetRef,
    replicas: u32,
    metrics: &Metrics,
) -> Result<Restore, ScaleError> {
    let scale = match scale_target.read(target).await {
        Ok(scale) => scale,
        Err(error) if error.is_gone() => return Ok(Restore::NothingToRestore),
        Err(error) => return Err(error),
    };
    let (uid, current) = (scale.uid.as_deref(), scale.replicas);
    if current == replicas || current == 0 {
        return Ok(Restore::NothingToRestore);
    }
    match write_scale(scale_target, target, uid, current, replicas, metrics).await {
        Ok(Written::Done(_)) => Ok(Restore::Written(replicas)),
        Ok(Written::Conflict(scale)) => Err(ScaleError::Other {
            target: target.to_string(),
            message: format!(
                "another client changed the replicas from {current} to {}",
                scale.replicas
            ),
        }),
        Err(error) if error.is_gone() => Ok(Restore::NothingToRestore),
        Err(error) => Err(error),
    }
}
