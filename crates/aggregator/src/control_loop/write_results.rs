//! Handles the results of writes.

use jiff::Timestamp;
use pushscale_decision::{Moment, Reason};

use super::ControlLoop;
use super::unconfirmed_write::UnconfirmedWrite;
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
        scaler.writing = false;
        let change = scaler.change.take();
        match outcome {
            Ok(Written::Done(scale)) => {
                scaler.written = Some((now, scale.version));
                scaler.unconfirmed = None;
                scaler.last_replicas = Some(scale.replicas);
                scaler.scale = Some(Ok(scale));
                scaler.backoff.reset();
                if let Some(change) = change {
                    let history = &mut scaler.status_history;
                    history.record_change(Timestamp::now(), change);
                }
                if let Some(engine) = &mut scaler.engine {
                    engine.record_scale(now, from, to);
                }
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
                tracing::info!(autoscaler = %key, expected = from, found = scale.replicas, "another client changed the replica count");
                scaler.confirm_write(now, scale.replicas);
                scaler.scale = Some(Ok(scale));
                scaler.deletion_order.clear();
                self.unmark_stale_pods(key);
                self.mark_due(key, now);
            }
            Err(error) => {
                self.metrics.scale_written(ScaleWriteOutcome::Failed);
                let note = format!("New size: {to}; error: {error}");
                tracing::warn!(autoscaler = %key, desired = to, %error, "failed to write the replica count");
                if let Some(engine) = &mut scaler.engine {
                    engine.record_scale_failure(now, &error.to_string());
                }
                scaler.unconfirmed = change.map(|change| UnconfirmedWrite {
                    at: now,
                    from,
                    to,
                    change,
                });
                scaler.deletion_order.clear();
                let retry_at = now.plus(scaler.backoff.next_delay());
                scaler.retry_at = Some(retry_at);
                self.unmark_stale_pods(key);
                self.warn(now, key, Reason::FailedRescale, note);
                self.publish_status(now, key);
                self.mark_due(key, retry_at);
            }
        }
    }
}
