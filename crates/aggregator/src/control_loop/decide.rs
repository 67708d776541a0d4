//! Wakes the scalers that are due.

use super::ControlLoop;
use super::managed_scaler::Limits;

/// Bytes of the recordings of all scalers together.
const RECORDED_BYTES: usize = 32 << 20;

/// Maximum bytes of the recording of one scaler: about ten minutes of ten pods with one model.
const MAX_RECORDED_BYTES: usize = 4 << 20;

impl ControlLoop {
    /// Decides for each scaler that is due.
    pub(super) fn decide_due(&mut self) {
        self.update_role();
        if self.is_unlisted() {
            return;
        }
        let now = self.now();
        let limits = Limits {
            recorded_bytes: (RECORDED_BYTES / self.scalers.len().max(1)).min(MAX_RECORDED_BYTES),
            marks_pods: self.scale_target.marks_pods(),
        };
        while self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.due.pop_first()
        {
            // With thousands of scalers, a turn may take long without being stalled.
            self.heartbeat.beat();
            self.with_scaler(&key, |scaler, context| {
                scaler.wake(context, limits);
            });
        }
        self.update_warm_up();
        self.metrics
            .set_known(self.scalers.len(), self.pod_index.len());
    }
}
