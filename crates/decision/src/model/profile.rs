//! The arrival rates of the last week, for loads that recur.
//!
//! Pods that take a while to start are ready for a rise only if they are ordered before it can be seen. The rate one
//! day ago, or one of the other [`PERIODS`] ago, predicts it. Each period is replayed against what really arrives, with
//! the prices of the hold ([`super::hold_backtest`]): the pods that it would have kept in addition, and the violation
//! seconds that those would have avoided. A period counts only while it has saved clearly more than it has cost.

use crate::checkpoint::{ModelCheckpoint, PeriodSaving, RateSeries};
use crate::policy::ViolationPrice;
use crate::snapshot::{Snapshot, Visit, visit};

use super::hold_backtest::{INTERVAL, ReplayResult, seconds};
use crate::numbers::{to_f32, to_u32_saturating};

/// The periods in seconds: those of scheduled jobs, then those of human activity.
const PERIODS: [u64; COUNT] = [900, 1800, 3600, DAY, 7 * DAY];
const COUNT: usize = 5;
const DAY: u64 = 86_400;

/// The length of a bucket in seconds, for periods of up to an hour and for longer ones.
const SHORT_BUCKET: u64 = 30;
const LONG_BUCKET: u64 = 600;

/// The time constant of savings, in periods.
const SAVING_TIME_CONSTANT: f64 = 2.0;

/// A period counts once it has saved more than this, in seconds of the whole fleet. With 0, chance savings cost 1.6%
/// more pod-hours over 40 random loads and 1.3% more of the changes were taken back; 3000 saves no less where loads
/// recur.
const MIN_SAVING: f64 = 1000.0;

/// The lowest savings: the cost of one incident must not outweigh weeks of savings.
const SAVING_FLOOR: f64 = -10.0 * MIN_SAVING;

/// The highest savings that a checkpoint may contain: more than a fleet can save in two weeks.
const HIGHEST_RESTORED_SAVING: f64 = 1e8;

/// Pods are expected to be needed this many seconds before the same time of the last period.
const LEAD_SECONDS: f64 = 60.0;

/// The rate of a bucket without readings.
const UNKNOWN: f32 = -1.0;

/// The rates of the last hour and of the last week, and what following them would have saved.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    hour: Rates,
    week: Rates,
    /// What each period would have saved, in seconds of the whole fleet.
    savings: [f64; COUNT],
    /// The index of the period that counts, chosen once per bucket.
    proven: Option<usize>,
    /// The most pods that it has asked for in the current short bucket and in the previous one, and the number of the
    /// current one.
    floor: u32,
    floor_before: u32,
    floor_of: u64,
}

impl Visit for Profile {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.hour.visit(snapshot);
        self.week.visit(snapshot);
        self.savings.visit(snapshot);
        self.proven.visit(snapshot);
        self.proven = self.proven.filter(|period| *period < COUNT);
        self.floor.visit(snapshot);
        self.floor_before.visit(snapshot);
        self.floor_of.visit(snapshot);
    }
}

/// The highest rate in each bucket, in requests per second.
#[derive(Clone, Debug)]
struct Rates {
    bucket: u64,
    /// By the bucket's number modulo their count.
    rates: Box<[f32]>,
    newest: u64,
}

visit!(Rates: rates, newest; ..);

/// The rates of one period ago, in requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    /// The period, in seconds.
    pub(crate) period: u64,
    /// The rate at this time; 0 if it is unknown, so that it proves nothing.
    pub(crate) now: f64,
    /// The highest rate from now until a pod that is ordered now is ready.
    pub(crate) ahead: f64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hour: Rates::new(SHORT_BUCKET, 3600),
            week: Rates::new(LONG_BUCKET, 7 * DAY),
            savings: [0.0; COUNT],
            proven: None,
            floor: 0,
            floor_before: 0,
            floor_of: 0,
        }
    }
}

impl Profile {
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.hour.rates) + size_of_val(&*self.week.rates)
    }

    /// Records the rate of a second, in requests per second.
    pub(crate) fn record(&mut self, second: u64, rate: f64) {
        self.week.record(second, rate);
        if self.hour.record(second, rate) {
            self.choose_period();
        }
    }

    fn choose_period(&mut self) {
        // A longer period has had more time to save, so the saving per second counts.
        let per_second = |period: usize| self.savings[period] / seconds(PERIODS[period]);
        self.proven = (0..COUNT)
            .filter(|period| self.savings[*period] > MIN_SAVING)
            .max_by(|one, other| per_second(*one).total_cmp(&per_second(*other)));
    }

    /// Returns the savings of the periods, for a checkpoint.
    pub(crate) fn savings(&self) -> Vec<PeriodSaving> {
        PERIODS
            .into_iter()
            .zip(self.savings)
            .filter(|(_, saving)| *saving != 0.0)
            .map(|(period, saving)| PeriodSaving { period, saving })
            .collect()
    }

    /// Returns the known rates, for a checkpoint.
    pub(crate) fn series(&self) -> Vec<RateSeries> {
        [&self.hour, &self.week]
            .into_iter()
            .filter_map(Rates::series)
            .collect()
    }

    /// Adds the rates and savings of a checkpoint. A period keeps the savings that it had: time without records neither
    /// proves nor refutes it.
    pub(crate) fn restore(&mut self, second: u64, checkpoint: &ModelCheckpoint) {
        for series in &checkpoint.rates {
            match series.bucket_seconds {
                SHORT_BUCKET => self.hour.restore(second, series),
                LONG_BUCKET => self.week.restore(second, series),
                // From another release.
                _ => {}
            }
        }
        for (period, saving) in PERIODS.into_iter().zip(&mut self.savings) {
            let mut savings = checkpoint.savings.iter();
            let restored = savings.find(|restored| restored.period == period);
            if let Some(restored) = restored
                && restored.saving.is_finite()
                && *saving == 0.0
            {
                *saving = restored.saving.clamp(SAVING_FLOOR, HIGHEST_RESTORED_SAVING);
            }
        }
        self.choose_period();
    }

    /// Evaluates the periods, once every [`INTERVAL`]; `delay` is the start delay in seconds, and `pods` returns the
    /// pods that a rate needs.
    pub(crate) fn evaluate(
        &mut self,
        second: u64,
        delay: f64,
        replayed: &ReplayResult,
        price: ViolationPrice,
        mut pods: impl FnMut(f64) -> f64,
    ) {
        for (index, period) in PERIODS.into_iter().enumerate() {
            self.savings[index] *=
                1.0 - seconds(INTERVAL) / (SAVING_TIME_CONSTANT * seconds(period));
            let rates = self.rates(period);
            let Some(expected) = rates.expected(second, delay, period) else {
                continue;
            };
            let found = rates.rate(second / rates.bucket).unwrap_or(0.0);
            let more = (pods(expected.ahead) - replayed.kept).max(0.0);
            // Only the pods that a recurring load needs avoid violations by prediction. Further pods would avoid
            // violations that happen by chance: 30 min after a fall to a seventh, 6 replicas became 46.
            let serving = replayed.serving.max(pods(expected.now.min(found)));
            let avoided = replayed.violations(replayed.serving) - replayed.violations(serving);
            let saving = &mut self.savings[index];
            *saving += (price.for_fleet(replayed.mean_need) * avoided - seconds(INTERVAL) * more)
                / replayed.mean_need;
            *saving = saving.max(SAVING_FLOOR);
        }
    }

    /// Returns the rates that the proven period expects, if there is one; `delay` is the start delay in seconds.
    pub(crate) fn proven(&self, second: u64, delay: f64) -> Option<Expected> {
        let period = PERIODS[self.proven?];
        self.rates(period).expected(second, delay, period)
    }

    /// Returns the pods to keep for expected rates: the highest number of the last 30 to 60 seconds, because the need
    /// varies. `pods` returns the pods for these rates, given the pods that are kept now.
    pub(crate) fn floor(&mut self, second: u64, pods: impl FnOnce(u32) -> u32) -> u32 {
        let pods = pods(self.floor.max(self.floor_before));
        let bucket = second / SHORT_BUCKET;
        if self.floor_of == bucket {
            self.floor = self.floor.max(pods);
        } else {
            let before = if self.floor_of + 1 == bucket {
                self.floor
            } else {
                0
            };
            (self.floor_before, self.floor, self.floor_of) = (before, pods, bucket);
        }
        self.floor.max(self.floor_before)
    }

    fn rates(&self, period: u64) -> &Rates {
        if period < DAY { &self.hour } else { &self.week }
    }
}

impl Rates {
    /// Has room for the longest period, the current bucket, and one more if the period is not a multiple of a bucket.
    fn new(bucket: u64, longest: u64) -> Self {
        let kept = usize::try_from(longest / bucket + 2).unwrap_or(2);
        Self {
            bucket,
            rates: vec![UNKNOWN; kept].into_boxed_slice(),
            newest: 0,
        }
    }

    /// Returns the known rates, the oldest first; `None` if there are none.
    fn series(&self) -> Option<RateSeries> {
        let oldest = (self.newest + 1).saturating_sub(self.rates.len() as u64);
        let first_bucket = (oldest..=self.newest).find(|bucket| self.rate(*bucket).is_some())?;
        let rate = |bucket| self.rate(bucket).map(to_f32);
        Some(RateSeries {
            bucket_seconds: self.bucket,
            first_bucket,
            rates: (first_bucket..=self.newest).map(rate).collect(),
        })
    }

    /// Adds rates of a checkpoint that are not newer than `second`. The highest one of a bucket counts, as in
    /// [`Self::record`].
    fn restore(&mut self, second: u64, series: &RateSeries) {
        let current = second / self.bucket;
        for (bucket, rate) in (series.first_bucket..=current).zip(&series.rates) {
            let is_kept = bucket + self.rates.len() as u64 > current.max(self.newest);
            if let Some(rate) = rate.filter(|rate| is_kept && rate.is_finite() && *rate >= 0.0) {
                self.record_in(bucket, rate);
            }
        }
    }

    /// Records the rate of a second, and returns whether it is the first one of a bucket.
    fn record(&mut self, second: u64, rate: f64) -> bool {
        self.record_in(second / self.bucket, to_f32(rate))
    }

    fn record_in(&mut self, bucket: u64, rate: f32) -> bool {
        let begins = bucket > self.newest;
        if begins {
            let passed = (bucket - self.newest).min(self.rates.len() as u64);
            for number in bucket + 1 - passed..=bucket {
                let index = self.index(number);
                self.rates[index] = UNKNOWN;
            }
            self.newest = bucket;
        }
        let index = self.index(bucket);
        self.rates[index] = self.rates[index].max(rate);
        begins
    }

    fn expected(&self, second: u64, delay: f64, period: u64) -> Option<Expected> {
        let then = second.checked_sub(period)?;
        let ready = then + u64::from(to_u32_saturating(delay + LEAD_SECONDS));
        let ahead = (then / self.bucket..=ready / self.bucket)
            .filter_map(|bucket| self.rate(bucket))
            .reduce(f64::max)?;
        Some(Expected {
            period,
            now: self.rate(then / self.bucket).unwrap_or(0.0),
            ahead,
        })
    }

    /// Returns the rate of a bucket, if it is known.
    fn rate(&self, bucket: u64) -> Option<f64> {
        let kept = bucket <= self.newest && bucket + self.rates.len() as u64 > self.newest;
        let rate = self.rates[self.index(bucket)];
        (kept && rate >= 0.0).then(|| rate.into())
    }

    fn index(&self, bucket: u64) -> usize {
        usize::try_from(bucket % self.rates.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    /// Simulates seconds with five pods that serve 1/s each, and evaluates like the planner.
    fn pass(profile: &mut Profile, seconds: std::ops::Range<u64>, rate: impl Fn(u64) -> f64) {
        let pods = |rate: f64| rate.max(1.0);
        let price = ViolationPrice::default();
        for second in seconds.step_by(5) {
            profile.record(second, rate(second));
            let required = to_f32(pods(rate(second)));
            let replayed = ReplayResult::steady(5.0, [required; 5]);
            profile.evaluate(second, DELAY, &replayed, price, pods);
        }
    }

    const DELAY: f64 = 600.0;

    fn evening(second: u64) -> f64 {
        if second % DAY / 3600 == 20 { 20.0 } else { 4.0 }
    }

    #[test]
    fn a_day_is_proven_after_it_would_have_avoided_violations() {
        let mut profile = Profile::default();
        let rise = 20 * 3600;
        pass(&mut profile, 0..DAY + rise, evening);
        assert_eq!(profile.proven(DAY + rise, DELAY), None);
        pass(&mut profile, DAY + rise..2 * DAY + rise - 1200, evening);
        let before = profile.proven(2 * DAY + rise - 1200, DELAY).unwrap();
        assert_eq!((before.period, before.now, before.ahead), (DAY, 4.0, 4.0));
        let ahead = profile.proven(2 * DAY + rise - 600, DELAY).unwrap();
        assert_eq!((ahead.now, ahead.ahead), (4.0, 20.0));
    }

    #[test]
    fn a_day_that_does_not_recur_proves_nothing() {
        let mut profile = Profile::default();
        // Each day at another hour.
        let moves = |second: u64| evening(second + second / DAY * 5 * 3600);
        pass(&mut profile, 0..6 * DAY, moves);
        assert!(profile.savings[3] < MIN_SAVING, "{:?}", profile.savings);
    }

    #[test]
    fn violations_of_chance_prove_no_period() {
        let mut profile = Profile::default();
        (0..3600).for_each(|second| {
            profile.record(second, 20.0);
        });
        let pods = |rate: f64| rate.max(1.0);
        for second in (3600..7200).step_by(5) {
            profile.record(second, 4.0);
            // One second in five needs more than the five pods that are kept for a load that needs four.
            let replayed = ReplayResult::steady(5.0, [4.0, 4.0, 6.0, 4.0, 4.0]);
            profile.evaluate(second, 75.0, &replayed, ViolationPrice::default(), pods);
            assert_eq!(profile.proven(second, 75.0), None, "second {second}");
        }
    }

    #[test]
    fn rates_that_are_older_or_not_recorded_are_unknown() {
        let mut profile = Profile::default();
        pass(&mut profile, 0..3600, |_| 4.0);
        let expected = |profile: &Profile, second| profile.week.expected(second, DELAY, DAY);
        assert_eq!(
            expected(&profile, DAY + 1800).map(|rates| rates.now),
            Some(4.0)
        );
        assert_eq!(expected(&profile, DAY + 7200), None);
        pass(&mut profile, 9 * DAY..9 * DAY + 600, |_| 4.0);
        assert_eq!(expected(&profile, DAY + 1800), None);
    }

    fn restored(profile: &Profile, second: u64) -> Profile {
        let checkpoint = ModelCheckpoint {
            name: "m".into(),
            service_seconds: None,
            savings: profile.savings(),
            rates: profile.series(),
        };
        let mut restored = Profile::default();
        restored.restore(second, &checkpoint);
        restored
    }

    #[test]
    fn a_restored_day_counts_as_far_as_it_was_proven() {
        let rise = 20 * 3600;
        let restart = 2 * DAY + rise - 1200;
        for (end, is_proven) in [(DAY + rise, false), (restart, true)] {
            let mut profile = Profile::default();
            pass(&mut profile, 0..end, evening);
            let mut restored = restored(&profile, restart);
            assert_eq!(restored.savings, profile.savings);
            pass(&mut profile, restart..restart + 600, evening);
            pass(&mut restored, restart..restart + 600, evening);
            let second = restart + 600;
            let expected = restored.proven(second, DELAY);
            assert_eq!(expected, profile.proven(second, DELAY));
            assert_eq!(expected.is_some(), is_proven);
        }
    }

    #[test]
    fn the_time_without_an_aggregator_is_unknown() {
        let mut profile = Profile::default();
        pass(&mut profile, 0..7200, |_| 4.0);
        let mut restored = restored(&profile, 3 * 3600);
        pass(&mut restored, 3 * 3600..4 * 3600, |_| 4.0);
        let now = |second| restored.week.expected(second, 0.0, DAY);
        assert_eq!(now(DAY + 2 * 3600 + 1200), None);
        assert_eq!(now(DAY + 3600).map(|rates| rates.now), Some(4.0));
        assert_eq!(now(DAY + 3 * 3600 + 600).map(|rates| rates.now), Some(4.0));
        assert_eq!(restored.week.rates.len(), Checkpoint::MAX_RATES);
    }
}
