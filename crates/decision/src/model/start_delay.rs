//! How long a pod takes from its creation until it is ready.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// Before any start was seen.
const UNSEEN: f64 = 75.0;

/// What one start is worth once several have been seen.
const WEIGHT: f64 = 0.2;

/// The first start counts half, so that a fleet of quick starters is not taken for slow ones for long.
const FIRST: f64 = 0.5;

/// The learnt delay.
#[derive(Clone, Debug)]
pub(crate) struct StartDelay {
    seconds: f64,
    seen: u32,
}

impl Default for StartDelay {
    fn default() -> Self {
        Self {
            seconds: UNSEEN,
            seen: 0,
        }
    }
}

impl StartDelay {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.f64(&mut self.seconds);
        snapshot.u32(&mut self.seen);
    }

    /// A pod took so long.
    pub(crate) fn learn(&mut self, took: Duration) {
        self.seen = self.seen.saturating_add(1);
        let weight = (FIRST / f64::from(self.seen)).max(WEIGHT);
        self.seconds += weight * (took.as_secs_f64() - self.seconds);
    }

    /// In seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }
}
