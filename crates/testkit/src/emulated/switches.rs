//! The settings that a test can change while the server runs.

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{MetricsMode, ServiceTime};

#[derive(Debug)]
pub(super) struct Switches {
    frozen: watch::Sender<bool>,
    /// The number of stuck workers of each model version, from the first one on.
    stuck: watch::Sender<usize>,
    settings: Mutex<Settings>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) metrics_mode: MetricsMode,
    pub(super) token_wanted: bool,
    /// The service time of all models, if it is overridden.
    pub(super) service: Option<ServiceTime>,
}

impl Switches {
    pub(super) fn new(metrics_mode: MetricsMode) -> Self {
        Self {
            frozen: watch::Sender::new(false),
            stuck: watch::Sender::new(0),
            settings: Mutex::new(Settings {
                metrics_mode,
                token_wanted: false,
                service: None,
            }),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        *self.settings.lock()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock());
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(super) fn stick(&self, workers: usize) {
        self.stuck.send_replace(workers);
    }

    /// Waits while the frontend is frozen.
    pub(super) async fn thawed(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        self.frozen.subscribe().wait_for(|f| !f).await.ok();
    }

    /// Waits while this worker is stuck.
    pub(super) async fn unstuck(&self, worker: usize) {
        self.stuck.subscribe().wait_for(|n| worker >= *n).await.ok();
    }
}
