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

/// A start counts as at most this multiple of the start delay so far. A pod that was Pending for an hour, because a
/// quota or a node was missing, moved it from 80 to 784 s, and as the first one from 75 to 1838 s. At three times,
/// starts of five minutes were learned late: 3.6% more violation seconds in the held-out scenarios.
const MAX_FACTOR: f64 = 10.0;

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
        // A restored delay may be zero.
        let longest = MAX_FACTOR * self.seconds.max(1.0);
        let took = took.as_secs_f64().min(longest);
        self.seconds += weight * (took - self.seconds);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn after(starts: &[u64]) -> f64 {
        let mut delay = StartDelay::default();
        for seconds in starts {
            delay.learn(Duration::from_secs(*seconds));
        }
        delay.seconds()
    }

    #[test]
    fn a_pod_that_was_pending_for_an_hour_does_not_dominate_the_start_delay() {
        let first = after(&[3600]);
        assert!((75.0..=420.0).contains(&first), "{first}");
        let starts = [80; 12];
        let later = after(&[&starts[..], &[3600]].concat());
        assert!((80.0..=230.0).contains(&later), "{later}");
        let then = after(&[&[3600], &starts[..]].concat());
        assert!((79.0..=110.0).contains(&then), "{then}");
    }

    #[test]
    fn longer_starts_are_learned_within_a_few_of_them() {
        let ten_minutes = after(&[600; 8]);
        assert!((450.0..=600.0).contains(&ten_minutes), "{ten_minutes}");
    }

    #[test]
    fn a_restored_delay_of_zero_is_corrected() {
        let mut delay = StartDelay::default();
        let (seconds, count) = (0.0, 1);
        delay.restore(ObservedStarts { seconds, count });
        for _ in 0..100 {
            delay.learn(Duration::from_secs(120));
        }
        assert!(delay.seconds() > 60.0, "{}", delay.seconds());
    }
}
