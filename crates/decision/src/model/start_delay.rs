//! The start delay: the time from the creation of a pod until it is ready.

use std::time::Duration;

use crate::checkpoint::ObservedStarts;
use crate::snapshot::visit;

/// The start delay before any start has been observed, in seconds.
const INITIAL_SECONDS: f64 = 75.0;

/// The weight of a start once several have been observed.
const WEIGHT: f64 = 0.2;

/// The weight of the first start, which corrects the initial value quickly.
const FIRST_WEIGHT: f64 = 0.5;

/// The longest start delay that a checkpoint may contain, in seconds.
const MAX_RESTORED_SECONDS: f64 = 3600.0;

/// The learned start delay.
#[derive(Clone, Debug)]
pub(crate) struct StartDelay {
    seconds: f64,
    observed: u32,
}

visit!(StartDelay: seconds, observed);

impl Default for StartDelay {
    fn default() -> Self {
        Self {
            seconds: INITIAL_SECONDS,
            observed: 0,
        }
    }
}

impl StartDelay {
    /// Learns from one start.
    pub(crate) fn learn(&mut self, took: Duration) {
        self.observed = self.observed.saturating_add(1);
        let weight = (FIRST_WEIGHT / f64::from(self.observed)).max(WEIGHT);
        self.seconds += weight * (took.as_secs_f64() - self.seconds);
    }

    /// Returns what was observed, for a checkpoint; `None` if no start was.
    pub(crate) fn observed(&self) -> Option<ObservedStarts> {
        (self.observed > 0).then_some(ObservedStarts {
            seconds: self.seconds,
            count: self.observed,
        })
    }

    /// Continues from a checkpoint, unless a start has been observed since.
    pub(crate) fn restore(&mut self, starts: ObservedStarts) {
        let is_plausible = (0.0..=MAX_RESTORED_SECONDS).contains(&starts.seconds);
        if self.observed == 0 && starts.count > 0 && is_plausible {
            (self.seconds, self.observed) = (starts.seconds, starts.count);
        }
    }

    /// Returns the start delay in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }
}
