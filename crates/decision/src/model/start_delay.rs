//! The start delay: the time from the creation of a pod until it is ready.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// The start delay before any start has been observed, in seconds.
const INITIAL_SECONDS: f64 = 75.0;

/// The weight of a start once several have been observed.
const WEIGHT: f64 = 0.2;

/// The weight of the first start, which corrects the initial value quickly.
const FIRST_WEIGHT: f64 = 0.5;

/// The learnt start delay.
#[derive(Clone, Debug)]
pub(crate) struct StartDelay {
    seconds: f64,
    observed: u32,
}

impl Default for StartDelay {
    fn default() -> Self {
        Self {
            seconds: INITIAL_SECONDS,
            observed: 0,
        }
    }
}

impl StartDelay {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.f64(&mut self.seconds);
        snapshot.u32(&mut self.observed);
    }

    /// Learns from one start.
    pub(crate) fn learn(&mut self, took: Duration) {
        self.observed = self.observed.saturating_add(1);
        let weight = (FIRST_WEIGHT / f64::from(self.observed)).max(WEIGHT);
        self.seconds += weight * (took.as_secs_f64() - self.seconds);
    }

    /// Returns the start delay in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }
}
