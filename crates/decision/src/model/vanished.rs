//! Demand that vanishes at all pods at once: an outage above the fleet is more likely than the end of the load.

use super::counts::Window;
use super::evidence::{FEW_REQUESTS, PERSISTENCE};
use super::fleet_snapshot::FleetSnapshot;
use super::hold_backtest::LONGEST_HOLD;
use super::rules::Rule;
use super::second_buckets::SecondBuckets;
use crate::numbers::{to_f32, to_u32_saturating};
use crate::snapshot::visit;

/// Demand has vanished if less than this share of the arrivals remains.
const REMAINING_SHARE: f64 = 0.1;

/// The minutes before, of which each must have had more. The end of a shorter burst is no outage.
const MINUTES_BEFORE: u64 = 4;

/// The seconds after a hold for which there is no other one. The end of a load that comes and goes is no outage either,
/// and the backtest knows by then what holding the pods would have cost and saved.
const SECONDS_BETWEEN: u64 = 7200;

/// The share of a period that must have been reported.
const REPORTED_SHARE: f64 = 0.5;

/// Whether the demand has vanished.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VanishedDemand {
    /// The arrival rate before, in requests per second, while the demand has vanished; otherwise 0.
    before: f32,
    /// The second in which it vanished last; 0 if it never has.
    since: u32,
}

visit!(VanishedDemand: before, since);

impl VanishedDemand {
    /// Updates this with the arrivals up to `second`.
    pub(super) fn update(
        &mut self,
        second: u64,
        second_buckets: &SecondBuckets,
        fleet_snapshot: &FleetSnapshot,
    ) {
        let hold_ends = u64::from(self.since) + u64::from(to_u32_saturating(LONGEST_HOLD));
        if self.before > 0.0 {
            let now = second_buckets.window(PERSISTENCE.as_secs()).rate();
            if now >= REMAINING_SHARE * f64::from(self.before) || second >= hold_ends {
                self.before = 0.0;
            }
        } else if (self.since == 0 || second >= hold_ends + SECONDS_BETWEEN)
            && fleet_snapshot.reporting == fleet_snapshot.ready
            && Rule::Vanished.applies()
            && let Some(before) = vanished(second, second_buckets)
        {
            self.before = to_f32(before);
            self.since = u32::try_from(second).unwrap_or(u32::MAX);
        }
    }

    /// Returns the arrival rate before the demand vanished, if it has.
    pub(super) fn before(self) -> Option<f64> {
        (self.before > 0.0).then_some(self.before.into())
    }
}

/// Returns the arrival rate before, if the demand has vanished within the last minute.
fn vanished(second: u64, second_buckets: &SecondBuckets) -> Option<f64> {
    let recent = PERSISTENCE.as_secs();
    let last = known(second_buckets.window(recent), recent)?;
    let mut minutes = (0..MINUTES_BEFORE).map(|minute| {
        let until = second.checked_sub(recent + 60 * minute)?;
        let from = until.checked_sub(60)?;
        Some(known(second_buckets.between(from..until), 60)?.rate())
    });
    // While requests arrive, the first minute ends this.
    minutes.try_fold(f64::INFINITY, |lowest, rate| {
        let lowest = lowest.min(rate?);
        let expected = lowest * last.seconds;
        let is_significant = expected >= FEW_REQUESTS;
        (is_significant && last.arrivals < REMAINING_SHARE * expected).then_some(lowest)
    })
}

/// Returns the sums of a period of `seconds`, if enough of it was reported.
fn known(sums: Window, seconds: u64) -> Option<Window> {
    (sums.seconds >= REPORTED_SHARE * seconds as f64).then_some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::counts::Delta;
    use crate::moment::Moment;

    /// Returns the seconds in which the demand has vanished, for the arrivals of each second.
    fn vanishes(until: u64, arrivals: impl Fn(u64) -> f64) -> Vec<u64> {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut demand = VanishedDemand::default();
        let (mut bucket, mut found) = (0, Vec::new());
        for second in 1..=until {
            let delta = Delta {
                arrivals: arrivals(second),
                ..Delta::default()
            };
            let (from, to) = (Moment::from_secs(second - 1), Moment::from_secs(second));
            second_buckets.add(from, to, &mut bucket, delta, true);
            demand.update(second, &second_buckets, &FleetSnapshot::default());
            if demand.before().is_some() {
                found.push(second);
            }
        }
        found
    }

    #[test]
    fn demand_that_stops_within_a_minute_has_vanished_until_it_returns_or_for_a_hold() {
        let found = vanishes(4000, |second| if second < 600 { 10.0 } else { 0.0 });
        assert!((620..=660).contains(&found[0]), "{}", found[0]);
        assert_eq!(found.len() as f64, LONGEST_HOLD);
        let found = vanishes(4000, |second| {
            if (600..900).contains(&second) {
                0.0
            } else {
                10.0
            }
        });
        assert!((900..=910).contains(found.last().unwrap()), "{found:?}");
        assert_eq!(found.len() as u64, found.last().unwrap() + 1 - found[0]);
    }

    #[test]
    fn steps_bursts_and_few_requests_are_no_outage() {
        let step = |second| if second < 600 { 10.0 } else { 1.0 };
        assert_eq!(vanishes(2000, step), []);
        let burst = |second: u64| {
            if (600..660).contains(&second) {
                100.0
            } else {
                5.0
            }
        };
        assert_eq!(vanishes(2000, burst), []);
        let few = |second: u64| f64::from(u8::from(second < 600 && second.is_multiple_of(2)));
        assert_eq!(vanishes(2000, few), []);
        let slow = |second: u64| 10.0 - (second.min(1000) as f64) / 100.0;
        assert_eq!(vanishes(2000, slow), []);
    }

    #[test]
    fn a_load_that_comes_and_goes_is_an_outage_at_most_once_in_two_hours() {
        let found = vanishes(9000, |second| if second % 1800 < 900 { 10.0 } else { 0.0 });
        assert!(found.iter().all(|second| *second < 1810), "{found:?}");
    }
}
