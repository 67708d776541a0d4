//! Handles the results of writes: of the replica count, and of the finalizers.

use pushscale_decision::{Moment, Reason};

use super::ManagedScaler;
use super::replicas::OwnChange;
use crate::control_loop::effect::{Context, Effect, ScalerEvent};
use crate::scale_target::{Scale, ScaleError, Written};

impl ManagedScaler {
    /// Handles the end of a write. `marks_forbidden`: whether the API server forbade marking pods; `None` if that is
    /// unknown.
    pub(crate) fn write_finished(
        &mut self,
        context: &mut Context,
        (from, to): (u32, u32),
        marks_forbidden: Option<bool>,
        outcome: Result<Written, ScaleError>,
    ) {
        let now = context.now;
        if let Some(forbidden) = marks_forbidden {
            self.object.deletion_order.set_forbidden(forbidden);
        }
        match outcome {
            Ok(Written::Done(scale)) => self.write_stored(context, from, to, scale),
            Ok(Written::Conflict(scale)) => {
                tracing::info!(autoscaler = %self.id.key, expected = from, found = scale.replicas, "another client changed the replica count or recreated the target");
                let own = self.object.replicas.write_conflicts(now, scale);
                self.write_again_at(now, context, own);
            }
            Err(error @ ScaleError::Cancelled { .. }) => {
                tracing::info!(autoscaler = %self.id.key, desired = to, %error, "write of the replica count cancelled");
                let own = self.object.replicas.write_unconfirmed(now, from, to);
                self.write_again_at(now, context, own);
            }
            Err(error) => {
                tracing::warn!(autoscaler = %self.id.key, desired = to, %error, "failed to write the replica count");
                let message = error.to_string();
                let retry_at = match self.object.replicas.write_failed(now, from, to, &message) {
                    Ok(change) => {
                        self.record_change(context, change);
                        self.publish_status(context);
                        context.wake_at(now);
                        return;
                    }
                    Err(retry_at) => retry_at,
                };
                if let Some(engine) = self.decisions.engine_mut() {
                    engine.record_scale_failure(now, &message);
                }
                let note = format!("New size: {to}; error: {error}");
                self.publisher.warn(context, Reason::FailedRescale, note);
                self.publish_status(context);
                self.write_again_at(retry_at, context, None);
            }
        }
    }

    fn write_stored(&mut self, context: &mut Context, from: u32, to: u32, scale: Scale) {
        let written = self.object.replicas.write_stored(context.now, scale);
        self.record_change(context, OwnChange { from, to, written });
        context.push(Effect::Event(ScalerEvent {
            warning: false,
            reason: Reason::SuccessfulRescale,
            // Kubernetes combines events with the same reason and action into a series with the first note. The
            // replica counts make the actions distinct.
            action: format!("ScaleFrom{from}To{to}"),
            note: format!(
                "New size: {to}; reason: {}",
                self.decisions.last_scale_reason()
            ),
        }));
        self.publish_status(context);
        context.wake_at(context.now);
    }

    /// Forgets the marks of a write that was not stored, and decides again at `at`. `own` is a change by an earlier
    /// write, which was stored.
    fn write_again_at(&mut self, at: Moment, context: &mut Context, own: Option<OwnChange>) {
        if let Some(change) = own {
            self.record_change(context, change);
        }
        self.object.deletion_order.clear();
        self.object.unmark_stale_pods(context);
        context.wake_at(at);
    }

    /// Handles the result of a change of the finalizers, which replaced a resource version. `is_restored`: the replica
    /// count was written back, or need not be.
    pub(crate) fn finalizers_set(
        &mut self,
        context: &mut Context,
        is_restored: bool,
        outcome: Result<String, ScaleError>,
    ) {
        let outcome = self.on_delete.finalizers_set(context, is_restored, outcome);
        if let Err(error) = outcome {
            tracing::warn!(autoscaler = %self.id.key, %error, "failed to change the finalizer");
            let note = format!(
                "onDelete is Restore; error: {error}; with spec.onDelete Keep, the PushScaler is deleted without restoring the replicas"
            );
            self.publisher.warn(context, Reason::FailedRescale, note);
        }
    }
}
