//! Pods are told that they go first, and that they may stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ControlLoop;
use crate::metrics::{DeletionCost, Metrics};
use crate::names::ScalerKey;
use crate::scale_target::{Marked, PodName};

/// Counts what became of telling pods, and says once why it does not work: at each step it would be noise, since the
/// size is written all the same.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    metrics: Metrics,
    warned: Arc<AtomicBool>,
}

impl Teller {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            warned: Arc::default(),
        }
    }

    pub(super) fn note(&self, scaler: &ScalerKey, marked: &Marked, done: DeletionCost) {
        self.metrics.deletion_cost(done, marked.told);
        self.metrics.deletion_cost(DeletionCost::Held, marked.held);
        self.metrics
            .deletion_cost(DeletionCost::Failed, marked.failed);
        let Some(problem) = &marked.problem else {
            return;
        };
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(autoscaler = %scaler, error = problem, "a pod was not told whether it goes first");
        } else {
            tracing::warn!(
                autoscaler = %scaler,
                error = problem,
                "pods cannot be told which goes first: allow `patch` on pods, or set PUSHSCALE_AGGREGATOR_DELETION_COST=off; not said again"
            );
        }
    }
}

impl ControlLoop {
    /// Takes our mark off the pods that have it and stay. Not while a size is being written: they are about to go.
    pub(super) fn spare(&mut self, key: &ScalerKey) {
        let now = self.now();
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        if entry.writing {
            return;
        }
        let pods = entry.leaving.spare_marked(now);
        self.let_stay(key, pods);
        if let Some(at) = self
            .scalers
            .get(key)
            .and_then(|entry| entry.leaving.look_again())
        {
            self.mark_due(key, at);
        }
    }

    /// In a task of its own: the pods' watch tells whether it has worked.
    pub(super) fn let_stay(&self, key: &ScalerKey, pods: Vec<PodName>) {
        let Some(entry) = self.scalers.get(key).filter(|_| !pods.is_empty()) else {
            return;
        };
        let scale_target = Arc::clone(&self.scale_target);
        let target = entry.target.clone();
        let teller = self.teller.clone();
        let scaler = key.clone();
        tokio::spawn(async move {
            let marked = scale_target.let_stay(&target, &pods).await;
            teller.note(&scaler, &marked, DeletionCost::TakenBack);
        });
    }
}
