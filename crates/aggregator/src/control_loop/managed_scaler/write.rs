//! Handles the result of a write of the replica count.

use pushscale_decision::{Moment, Reason};

use super::ManagedScaler;
use super::replicas::OwnChange;
use crate::control_loop::effect::{Context, Effects};
use crate::scale_target::{Scale, ScaleError, Written};

impl ManagedScaler {
    pub(crate) fn write_finished(
        &mut self,
        context: &Context,
        from: u32,
        to: u32,
        outcome: Result<Written, ScaleError>,
        effects: &mut Effects,
    ) {
        let now = context.now;
        match outcome {
            Ok(Written::Done(scale)) => self.write_stored(context, from, to, scale, effects),
            Ok(Written::Conflict(scale)) => {
                tracing::info!(autoscaler = %self.key, expected = from, found = scale.replicas, "another client changed the replica count or recreated the target");
                if let Some(change) = self.replicas.write_conflicts(now, scale) {
                    self.record_change(context, change);
                }
                self.write_again_at(now, context, effects);
            }
            Err(error @ ScaleError::Cancelled { .. }) => {
                tracing::info!(autoscaler = %self.key, desired = to, %error, "write of the replica count cancelled");
                if let Some(change) = self.replicas.write_unconfirmed(now, from, to) {
                    self.record_change(context, change);
                }
                self.write_again_at(now, context, effects);
            }
            Err(error) => {
                tracing::warn!(autoscaler = %self.key, desired = to, %error, "failed to write the replica count");
                let message = error.to_string();
                let retry_at = match self.replicas.write_failed(now, from, to, &message) {
                    Ok(change) => {
                        self.record_change(context, change);
                        self.publish_status(context, effects);
                        self.wake_at(now, effects);
                        return;
                    }
                    Err(retry_at) => retry_at,
                };
                if let Some(engine) = &mut self.engine {
                    engine.record_scale_failure(now, &message);
                }
                let note = format!("New size: {to}; error: {error}");
                self.warn(context, Reason::FailedRescale, note, effects);
                self.publish_status(context, effects);
                self.write_again_at(retry_at, context, effects);
            }
        }
    }

    fn write_stored(
        &mut self,
        context: &Context,
        from: u32,
        to: u32,
        scale: Scale,
        effects: &mut Effects,
    ) {
        let written = self.replicas.write_stored(context.now, scale);
        self.record_change(context, OwnChange { from, to, written });
        // Kubernetes combines events with the same reason and action into a series with the first note. The replica
        // counts make the actions distinct.
        let action = format!("ScaleFrom{from}To{to}");
        let note = format!("New size: {to}; reason: {}", self.last_scale_reason());
        let reason = Reason::SuccessfulRescale.as_str();
        self.report_event(false, reason, action, note, effects);
        self.publish_status(context, effects);
        self.wake_at(context.now, effects);
    }

    /// Forgets the marks of a write that was not stored, and decides again at `at`.
    fn write_again_at(&mut self, at: Moment, context: &Context, effects: &mut Effects) {
        self.deletion_order.clear();
        self.unmark_stale_pods(context, effects);
        self.wake_at(at, effects);
    }
}
