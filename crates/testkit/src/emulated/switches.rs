//! The settings that a test can change while the server runs.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::MetricsMode;

#[derive(Debug)]
pub(super) struct Switches {
    frozen: watch::Sender<bool>,
    /// The number of blocked workers of each model version, from the first one on.
    blocked: watch::Sender<usize>,
    metrics_mode: Mutex<MetricsMode>,
    unregistered: Mutex<BTreeSet<String>>,
}

impl Switches {
    pub(super) fn new(metrics_mode: MetricsMode) -> Self {
        Self {
            frozen: watch::Sender::new(false),
            blocked: watch::Sender::new(0),
            metrics_mode: Mutex::new(metrics_mode),
            unregistered: Mutex::default(),
        }
    }

    pub(super) fn metrics_mode(&self) -> MetricsMode {
        *self.metrics_mode.lock()
    }

    pub(super) fn set_metrics_mode(&self, mode: MetricsMode) {
        *self.metrics_mode.lock() = mode;
    }

    pub(super) fn is_registered(&self, model: &str) -> bool {
        !self.unregistered.lock().contains(model)
    }

    pub(super) fn set_registered(&self, model: &str, registered: bool) {
        let mut unregistered = self.unregistered.lock();
        if registered {
            unregistered.remove(model);
        } else {
            unregistered.insert(model.to_owned());
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(super) fn block(&self, workers: usize) {
        self.blocked.send_replace(workers);
    }

    /// Waits while the frontend is frozen.
    pub(super) async fn wait_while_frozen(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        self.frozen.subscribe().wait_for(|f| !f).await.ok();
    }

    /// Waits while this worker is blocked.
    pub(super) async fn wait_while_blocked(&self, worker: usize) {
        self.blocked
            .subscribe()
            .wait_for(|n| worker >= *n)
            .await
            .ok();
    }
}
