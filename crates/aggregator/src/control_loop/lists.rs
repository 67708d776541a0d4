//! The lists of everything that could forbid a write.

use pushscale_daemon::readiness::ReadinessLatch;

/// The lists that have arrived. Until both have, nothing is decided, because a competing autoscaler may exist.
#[derive(Debug)]
pub(super) struct Lists {
    scalers: bool,
    competing_hpas: bool,
    /// Dropped when both have arrived.
    latch: Option<ReadinessLatch>,
}

impl Lists {
    pub(super) fn new(latch: ReadinessLatch) -> Self {
        Self {
            scalers: false,
            competing_hpas: false,
            latch: Some(latch),
        }
    }

    pub(super) fn scalers_listed(&mut self) {
        self.scalers = true;
        self.received("PushScalers");
    }

    pub(super) fn hpas_listed(&mut self) {
        self.competing_hpas = true;
        self.received("HorizontalPodAutoscalers");
    }

    fn received(&mut self, kind: &str) {
        let complete = self.are_complete();
        if complete {
            self.latch = None;
        }
        tracing::debug!(kind, complete, "list received");
    }

    pub(super) fn are_complete(&self) -> bool {
        self.scalers && self.competing_hpas
    }
}
