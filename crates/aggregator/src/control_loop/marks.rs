//! Counts the outcomes of marking pods.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::{DeletionCostOutcome, Metrics};
use crate::names::ScalerKey;
use crate::scale_target::MarkResult;

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
