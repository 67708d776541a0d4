//! When a scaler decides next.

use std::time::Duration;

use pushscale_decision::Moment;

/// Minimum time between two decisions of one scaler. A thousand pods push a thousand times per second, and the
/// stabilization windows keep every decision.
pub(super) const MIN_DECISION_INTERVAL: Duration = Duration::from_millis(250);

/// The time of the next decision, and of the last one.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    due: Option<Moment>,
    decided: Option<Moment>,
}

impl Wakes {
    /// Returns when the scaler is to be woken.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Makes it due at `at`, or at the first time after it at which a decision is allowed. Returns that time and the
    /// previous one, unless it is due before.
    pub(crate) fn wake_at(&mut self, at: Moment) -> Option<(Moment, Option<Moment>)> {
        let earliest = self
            .decided
            .map(|decided| decided.plus(MIN_DECISION_INTERVAL));
        let at = earliest.map_or(at, |earliest| at.max(earliest));
        if self.due.is_some_and(|due| due <= at) {
            return None;
        }
        Some((at, self.due.replace(at)))
    }

    pub(super) fn woken(&mut self) {
        self.due = None;
    }

    pub(super) fn decided(&mut self, now: Moment) {
        self.decided = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaler_is_woken_at_the_earliest_of_all_times() {
        let (mut wakes, now) = (Wakes::default(), Moment::from_secs(1000));
        wakes.decided(now);
        let (earliest, due) = (now.plus(MIN_DECISION_INTERVAL), Moment::from_secs(1015));
        assert_eq!(wakes.wake_at(due), Some((due, None)));
        assert_eq!(wakes.wake_at(Moment::from_secs(1016)), None);
        assert_eq!(wakes.wake_at(now), Some((earliest, Some(due))));
        assert_eq!(wakes.wake_at(now), None);
        wakes.woken();
        assert_eq!(wakes.wake_at(now), Some((earliest, None)));
    }
}
