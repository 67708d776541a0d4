//! Pacing: the scrape interval that the aggregator asks sidecars for, so that a large fleet cannot saturate it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pushes per second that an aggregator asks for at most. They take about a third of a core (`make bench-fleet`).
const PUSHES_PER_SECOND: u32 = 10_000;

/// The longest interval. At 600,000 pods and more, an aggregator gets more pushes per second.
const MAX_SECONDS: u32 = 60;

/// The interval, shared between the control loop, which knows the number of pods, and the answers to pushes.
#[derive(Clone, Debug)]
pub(crate) struct Pacing(Arc<AtomicU32>);

impl Default for Pacing {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Pacing {
    /// Follows the number of pods. Each step down waits for a tenth fewer pods than the step up, so that a fleet that
    /// breathes does not change its interval all the time.
    pub(crate) fn follow(&self, pods: usize) {
        let pods = u32::try_from(pods).unwrap_or(u32::MAX);
        let seconds = |pods: u32| pods.div_ceil(PUSHES_PER_SECOND).clamp(1, MAX_SECONDS);
        let (least, most) = (seconds(pods), seconds(pods.saturating_add(pods / 9)));
        let current = self.0.load(Ordering::Relaxed);
        let wanted = current.clamp(least, most);
        if wanted != current {
            tracing::info!(
                pods,
                seconds = wanted,
                "asking sidecars for another scrape interval"
            );
            self.0.store(wanted, Ordering::Relaxed);
        }
    }

    /// The interval to ask a sidecar for, in seconds, if its own is another. A sidecar never scrapes more often than it
    /// is configured to.
    pub(crate) fn ask(&self, interval_seconds: f64) -> Option<f64> {
        let wanted = f64::from(self.0.load(Ordering::Relaxed));
        // A configured interval below a second is the user's choice as long as the fleet is small.
        (wanted != interval_seconds && (wanted > 1.0 || interval_seconds > 1.0)).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_the_number_of_pods() {
        let pacing = Pacing::default();
        for (pods, seconds) in [
            (0, 1),
            (10_000, 1),
            (10_001, 2),
            // Fewer pods, but not yet a tenth fewer.
            (9_500, 2),
            (8_999, 1),
            (150_000, 15),
            (10_000_000, 60),
            (100, 1),
        ] {
            pacing.follow(pods);
            assert_eq!(
                pacing.ask(0.0).unwrap_or(1.0),
                f64::from(seconds),
                "{pods} pods"
            );
        }
    }

    #[test]
    fn a_small_fleet_keeps_its_configured_interval() {
        let pacing = Pacing::default();
        assert_eq!(pacing.ask(0.5), None);
        assert_eq!(pacing.ask(1.0), None);
        // From before: the sidecar returns to its own.
        assert_eq!(pacing.ask(15.0), Some(1.0));
        pacing.follow(150_000);
        assert_eq!(pacing.ask(0.5), Some(15.0));
        assert_eq!(pacing.ask(15.0), None);
    }
}
