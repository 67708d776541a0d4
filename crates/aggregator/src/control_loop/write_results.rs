//! Handles the results of writes.

use pushscale_decision::{Moment, Reason};

use super::ControlLoop;
use super::replicas::OwnChange;
use crate::event::WatchId;
use crate::metrics::ScaleWriteOutcome;
use crate::report::{EventReport, Report};
use crate::scale_target::{ScaleError, Written};

impl ControlLoop {
    pub(super) fn write_finished(
        &mut self,
        watch: &WatchId,
        from: u32,
        to: u32,
        newest_reading: Option<Moment>,
        outcome: Result<Written, ScaleError>,
    ) {
        let now = self.now();
        let key = &watch.scaler;
        // A scaler with another target by now has nothing to learn from this write.
        let scaler = self.scalers.get_mut(key);
        let Some(scaler) = scaler.filter(|scaler| scaler.watch == *watch) else {
            return;
        };
        match outcome {
            Ok(Written::Done(scale)) => {
                let written = scaler.replicas.write_stored(now, scale);
                scaler.record_change(now, OwnChange { from, to, written });
                self.metrics.scale_written(ScaleWriteOutcome::Written);
                if let Some(taken) = newest_reading {
                    self.metrics.reacted(now.since(taken));
                }
                let reason = scaler.last_scale_reason();
                let event = Report::Event(EventReport {
                    scaler: key.clone(),
                    uid: scaler.uid.clone(),
                    warning: false,
                    reason: Reason::SuccessfulRescale.as_str(),
                    // Kubernetes combines events with the same reason and action into a series with the first note.
                    // The replica counts make the actions distinct.
                    action: format!("ScaleFrom{from}To{to}"),
                    note: format!("New size: {to}; reason: {reason}"),
                });
                self.report(event);
                self.publish_status(now, key);
                self.mark_due(key, now);
            }
            Ok(Written::Conflict(scale)) => {
                self.metrics.scale_written(ScaleWriteOutcome::Conflict);
                tracing::info!(autoscaler = %key, expected = from, found = scale.replicas, "another client changed the replica count or recreated the target");
                if let Some(change) = scaler.replicas.write_conflicts(now, scale) {
                    scaler.record_change(now, change);
                }
                scaler.deletion_order.clear();
                self.unmark_stale_pods(key);
                self.mark_due(key, now);
            }
            Err(error @ ScaleError::Cancelled { .. }) => {
                tracing::info!(autoscaler = %key, desired = to, %error, "write of the replica count cancelled");
                if let Some(change) = scaler.replicas.write_unconfirmed(now, from, to) {
                    scaler.record_change(now, change);
                }
                scaler.deletion_order.clear();
                self.unmark_stale_pods(key);
                self.mark_due(key, now);
            }
            Err(error) => {
                self.metrics.scale_written(ScaleWriteOutcome::Failed);
                let note = format!("New size: {to}; error: {error}");
                tracing::warn!(autoscaler = %key, desired = to, %error, "failed to write the replica count");
                let message = error.to_string();
                let retry_at = match scaler.replicas.write_failed(now, from, to, &message) {
                    Ok(change) => {
                        scaler.record_change(now, change);
                        self.publish_status(now, key);
                        self.mark_due(key, now);
                        return;
                    }
                    Err(retry_at) => retry_at,
                };
                if let Some(engine) = &mut scaler.engine {
                    engine.record_scale_failure(now, &message);
                }
                scaler.deletion_order.clear();
                self.unmark_stale_pods(key);
                self.warn(now, key, Reason::FailedRescale, note);
                self.publish_status(now, key);
                self.mark_due(key, retry_at);
            }
        }
    }
}
