//! Removes marks of pods that are no longer needed, and counts the outcomes of marking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::metrics::{DeletionCostOutcome, Metrics};
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{MarkResult, PodRef};

/// Counts the outcomes of marking pods. Failures do not affect scaling, so only the first one is logged as a warning.
#[derive(Clone, Debug)]
pub(super) struct MarkReporter {
    metrics: Metrics,
    warned: Arc<AtomicBool>,
}

impl MarkReporter {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            warned: Arc::default(),
        }
    }

    /// Counts the pods of `result`; the updated ones as `updated`.
    pub(super) fn report(
        &self,
        scaler: &ScalerKey,
        result: &MarkResult,
        updated: DeletionCostOutcome,
    ) {
        self.metrics.deletion_costs(result, updated);
        let Some(error) = &result.error else {
            return;
        };
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(autoscaler = %scaler, error, "failed to update the deletion cost of pods");
        } else {
            tracing::warn!(
                autoscaler = %scaler,
                error,
                hint = "allow `patch` on pods or set PUSHSCALE_AGGREGATOR_POD_DELETION_COST=false",
                "failed to update the deletion cost of pods; further failures are logged at debug"
            );
        }
    }
}

impl ControlLoop {
    /// Removes our marks from pods of the scaler's target. The marks are the target's: while another PushScaler writes
    /// it, only that one knows which of them it still needs.
    pub(super) fn unmark(&self, key: &ScalerKey, pods: Vec<PodRef>) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        let mut writing = self.other_writing_scalers(key, scaler);
        if writing.all(|(_, other)| other.conflicts_with().is_some()) {
            self.remove_marks(key, scaler.target(), pods);
        }
    }

    /// Removes the marks of a cancelled write. The watch of the pods may not have reported them before the scaler was
    /// removed, and another one may write the target by now, perhaps with the same name.
    pub(super) fn unmark_cancelled(&self, key: &ScalerKey, target: &TargetRef, pods: Vec<PodRef>) {
        let writes = |scaler: &ManagedScaler| {
            scaler.writes()
                && scaler.conflicts_with().is_none()
                && scaler.target().is_same_object(target)
        };
        if !self.scalers.values().any(writes) {
            self.remove_marks(key, target, pods);
        }
    }

    /// Removes marks in a separate task. The watch of the pods reports the result.
    fn remove_marks(&self, key: &ScalerKey, target: &TargetRef, pods: Vec<PodRef>) {
        let Some(term) = self.term.filter(|_| !pods.is_empty()) else {
            return;
        };
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let mark_reporter = self.mark_reporter.clone();
        let (scaler, target) = (key.clone(), target.clone());
        tokio::spawn(async move {
            let unmark = scale_target.unmark(&target, &pods);
            if let Some(result) = leadership.write_until_end(term, unmark).await {
                mark_reporter.report(&scaler, &result, DeletionCostOutcome::Unmarked);
            }
        });
    }
}
