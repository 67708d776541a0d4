//! What became of a write.

use jiff::Timestamp;
use pushscale_decision::Reason;

use super::ControlLoop;
use crate::metrics::WriteOutcome;
use crate::names::ScalerKey;
use crate::report::Report;
use crate::scale_target::{ScaleError, Written};

impl ControlLoop {
    pub(super) fn wrote(
        &mut self,
        key: &ScalerKey,
        from: u32,
        to: u32,
        outcome: Result<Written, ScaleError>,
    ) {
        let now = self.now();
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        entry.writing = false;
        match outcome {
            Ok(Written::Done(scale)) => {
                entry.written = Some((now, scale.version));
                entry.scale = Some(Ok(scale));
                entry.pauses = None;
                entry.chronicle.last_scale_time = Some(Timestamp::now());
                if let Ok(scaler) = &mut entry.brain {
                    scaler.record_scale(now, from, to);
                }
                self.metrics.wrote(WriteOutcome::Written);
                if let Some(taken) = entry.newest_reading.take() {
                    self.metrics.reacted(now.since(taken));
                }
                let reason = entry.reason_of_last();
                let happened = Report::Happened {
                    scaler: key.clone(),
                    uid: entry.uid.clone(),
                    warning: false,
                    reason: Reason::SuccessfulRescale.as_str(),
                    // Kubernetes folds events of one reason and action into one with the first one's text: the
                    // sizes make it another action.
                    action: format!("ScaleFrom{from}To{to}"),
                    note: format!("New size: {to}; reason: {reason}"),
                };
                self.report(happened);
                self.tell_again(now, key);
                self.mark_due(key, now);
            }
            Ok(Written::Moved(scale)) => {
                self.metrics.wrote(WriteOutcome::Conflict);
                tracing::info!(autoscaler = %key, expected = from, found = scale.replicas, "the size was changed by somebody else, deciding again");
                entry.scale = Some(Ok(scale));
                entry.leaving.nobody_goes();
                self.spare(key);
                self.mark_due(key, now);
            }
            Err(error) => {
                self.metrics.wrote(WriteOutcome::Failed);
                let note = format!("New size: {to}; error: {error}");
                tracing::warn!(autoscaler = %key, desired = to, %error, "the size was not written");
                if let Ok(scaler) = &mut entry.brain {
                    scaler.record_scale_failure(now, &error.to_string());
                }
                entry.leaving.nobody_goes();
                let pause = entry.next_pause();
                let retry_at = now.plus(pause);
                entry.retry_at = Some(retry_at);
                self.spare(key);
                self.warn(now, key, Reason::FailedRescale, note);
                self.tell_again(now, key);
                self.mark_due(key, retry_at);
            }
        }
    }
}
