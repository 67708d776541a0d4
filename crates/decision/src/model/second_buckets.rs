//! The counts of the whole fleet in each of the last seconds.

use std::ops::Range;
use std::time::Duration;

use crate::moment::Moment;
use crate::numbers::to_f32;
use crate::snapshot::visit;

use super::blocks::Blocks;
use super::counts::{Delta, Window};

/// Seconds that are kept one by one, a few of them for late readings. Older ones are kept in blocks.
const BUCKETS: usize = 303;

/// The smallest coverage with which a second counts.
const MIN_COVERAGE: f64 = 0.2;

/// The delay of the readings for a second, in seconds.
pub(super) const LATE_SECONDS: usize = 3;

/// The longest delay of the readings for a second, in seconds: the longest scrape interval.
pub(super) const MAX_LATE_SECONDS: u64 = 60;

/// The coverage from which a second counts as complete.
const FULL_COVERAGE: f64 = 0.9;

/// The longest interval between readings whose counts go into a single second: split over two seconds they would look
/// less bursty than they were. The counts of a longer gap are spread over it (docs/ALGORITHM-DETAILS.md, I1b).
const MAX_INTERVAL: Duration = Duration::from_millis(1500);

/// The fleet's counts per second.
///
/// Pods push at different moments within a second, so the newest second is never complete. Each second knows its
/// coverage: the share of ready pods that have reported it. Rates are computed over the covered shares, as if the other
/// pods were alike.
#[derive(Clone, Debug)]
pub(crate) struct SecondBuckets {
    seconds: Box<[Second]>,
    blocks: Blocks,
    /// Number of the newest second.
    newest: u64,
    /// Number of the first second with a reading, if any.
    first: Option<u64>,
    /// Pods that should report.
    expected: f32,
}

visit!(SecondBuckets: seconds, blocks, newest, first, expected);

/// The sums of one second over all pods. Times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    arrivals: f32,
    completed: f32,
    waited: f32,
    served: f32,
    covered: f32,
    expected: f32,
}

visit!(Second: arrivals, completed, waited, served, covered, expected);

impl Default for SecondBuckets {
    fn default() -> Self {
        Self {
            seconds: vec![Second::default(); BUCKETS].into_boxed_slice(),
            blocks: Blocks::default(),
            newest: 0,
            first: None,
            expected: 0.0,
        }
    }
}

impl SecondBuckets {
    /// Returns the number of the second after the newest one with a reading.
    pub(crate) fn now(&self) -> u64 {
        self.newest + 1
    }

    /// Adds the counts of one pod between `from` and `to`.
    ///
    /// `bucket` is the second that its last counts went into; `serves` is whether the pod counts for the coverage.
    pub(crate) fn add(
        &mut self,
        from: Moment,
        to: Moment,
        bucket: &mut u64,
        delta: Delta,
        serves: bool,
    ) {
        let length = to.since(from);
        if length.is_zero() {
            return;
        }
        if length <= MAX_INTERVAL {
            let second = next_bucket(*bucket, from, length);
            *bucket = second;
            let covered = if serves { length.as_secs_f64() } else { 0.0 };
            self.put(second, delta, covered);
            return;
        }
        let (start, end) = (from.since_origin(), to.since_origin());
        let last = end.as_secs();
        *bucket = last;
        // Older counts are dropped; they would have left the ring by now.
        for second in start.as_secs().max(last.saturating_sub(BUCKETS as u64 - 1))..=last {
            let opens = Duration::from_secs(second).max(start);
            let closes = Duration::from_secs(second + 1).min(end);
            let overlap = closes.saturating_sub(opens).as_secs_f64();
            let share = overlap / length.as_secs_f64();
            if overlap > 0.0 {
                self.put(
                    second,
                    delta.times(share),
                    if serves { overlap } else { 0.0 },
                );
            }
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.seconds) + self.blocks.heap_bytes()
    }

    fn put(&mut self, second: u64, delta: Delta, covered: f64) {
        self.advance(second);
        if self.newest - second.min(self.newest) >= BUCKETS as u64 {
            return;
        }
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        let entry = &mut self.seconds[index(second)];
        entry.arrivals += to_f32(delta.arrivals);
        entry.completed += to_f32(delta.completed);
        entry.waited += to_f32(delta.waited);
        entry.served += to_f32(delta.served);
        entry.covered += to_f32(covered);
    }

    /// Moves the ring forward to `second`.
    fn advance(&mut self, second: u64) {
        if second <= self.newest {
            return;
        }
        let steps = (second - self.newest).min(BUCKETS as u64);
        for number in second + 1 - steps..=second {
            let fresh = Second {
                expected: self.expected,
                ..Second::default()
            };
            let old = std::mem::replace(&mut self.seconds[index(number)], fresh);
            // The old entry is that of the second `newest - age`.
            let age = (self.newest + BUCKETS as u64 - number % BUCKETS as u64) % BUCKETS as u64;
            if age <= self.newest {
                self.blocks.add(self.newest - age, &old.sums());
            }
        }
        self.newest = second;
    }

    /// Sets the number of pods that should report from now on.
    pub(crate) fn set_expected_pods(&mut self, pods: u32) {
        let pods = pods as f32;
        self.expected = pods;
        self.seconds[index(self.newest)].expected = pods;
    }

    /// Returns the sums of the last `seconds` seconds, or of a little more if those are more than 300.
    pub(crate) fn window(&self, seconds: u64) -> Window {
        let mut sum = Window::default();
        // A `for` loop over chained iterators takes three times as long.
        self.parts(seconds).for_each(|part| sum.add(&part));
        sum
    }

    /// Returns the sums of these seconds, as far as they are kept one by one.
    pub(crate) fn between(&self, seconds: Range<u64>) -> Window {
        let kept = (self.newest + 1).saturating_sub(BUCKETS as u64);
        let first = self.first.unwrap_or(self.newest + 1).max(kept);
        let mut sum = Window::default();
        for number in seconds.start.max(first)..seconds.end.min(self.newest + 1) {
            sum.add(&self.seconds[index(number)].sums());
        }
        sum
    }

    /// Returns the sums of the last `seconds` seconds, or of the longer time in which `completed` requests completed.
    pub(crate) fn newest_completed(&self, completed: f64, seconds: u64) -> Window {
        let mut sum = self.window(seconds);
        if sum.completed < completed {
            sum = Window::default();
            for part in self.parts(u64::MAX) {
                sum.add(&part);
                if sum.completed >= completed {
                    break;
                }
            }
        }
        sum
    }

    /// Returns the sums of each of the last `seconds` seconds, and of blocks for those beyond the last 300; newest
    /// first. Seconds without readings are left out.
    pub(crate) fn parts(&self, seconds: u64) -> impl Iterator<Item = Window> {
        let beyond = (seconds > BUCKETS as u64)
            .then(|| {
                let from = (self.newest + 1).saturating_sub(seconds);
                self.blocks.since(from, self.newest)
            })
            .into_iter()
            .flatten();
        self.last(seconds)
            .rev()
            .map(Second::sums)
            .filter(|sums| sums.seconds > 0.0)
            .chain(beyond)
    }

    /// Returns the arrivals in each of the last `seconds` seconds, oldest first; `None` for incomplete seconds.
    pub(crate) fn arrivals(&self, seconds: u64) -> impl Iterator<Item = Option<f64>> {
        self.last(seconds).map(|second| {
            let coverage = second.coverage();
            (coverage >= FULL_COVERAGE).then(|| f64::from(second.arrivals) / coverage)
        })
    }

    /// Returns the newest second of the last minute that all pods have reported.
    pub(crate) fn newest_complete(&self) -> Option<u64> {
        let complete = |second: &&Second| second.coverage() >= FULL_COVERAGE;
        let newer = self
            .last(MAX_LATE_SECONDS)
            .rev()
            .position(|second| complete(&second))?;
        Some(self.newest - newer as u64)
    }

    /// Returns the mean arrivals per second over the complete ones of the `seconds` seconds up to `until`, of the last
    /// minute; over all readings of a longer window.
    pub(crate) fn mean_arrivals(&self, until: u64, seconds: u64) -> Option<f64> {
        if seconds + MAX_LATE_SECONDS > BUCKETS as u64 {
            let window = self.window(seconds);
            return (window.seconds > 0.0).then(|| window.rate());
        }
        let newer = self.newest.saturating_sub(until);
        let skipped = usize::try_from(newer).unwrap_or(usize::MAX);
        let span = self.last(seconds + newer).count().saturating_sub(skipped);
        let complete = || self.arrivals(seconds + newer).take(span).flatten();
        let count = complete().count();
        (count > 0).then(|| complete().sum::<f64>() / count as f64)
    }

    fn last(&self, seconds: u64) -> impl DoubleEndedIterator<Item = &Second> {
        let first = self.first.unwrap_or(self.newest + 1);
        let from = (self.newest + 1).saturating_sub(seconds.min(BUCKETS as u64));
        let from = from.max(first);
        let (from, end) = if from > self.newest {
            (0, 0)
        } else {
            (index(from), index(self.newest) + 1)
        };
        let (older, newer) = if from < end || end == 0 {
            (from..end, 0..0)
        } else {
            (from..BUCKETS, 0..end)
        };
        self.seconds[older].iter().chain(&self.seconds[newer])
    }
}

impl Second {
    /// Returns the sums of the covered share; nothing if that is too small.
    fn sums(&self) -> Window {
        let seconds = self.coverage();
        if seconds <= 0.0 {
            return Window::default();
        }
        Window {
            arrivals: self.arrivals.into(),
            completed: self.completed.into(),
            waited: self.waited.into(),
            served: self.served.into(),
            seconds,
        }
    }

    /// Returns the share of pods that have reported this second.
    fn coverage(&self) -> f64 {
        if self.covered <= 0.0 {
            return 0.0;
        }
        let share = f64::from(self.covered) / f64::from(self.expected.max(1.0));
        if share < MIN_COVERAGE {
            0.0
        } else {
            share.min(1.0)
        }
    }
}

/// Returns the second for the counts of a short interval.
///
/// This is the second of the interval's middle. If a pod pushes slightly early or late near the edge of a second, its
/// counts must not go into one second twice and leave the next one empty.
fn next_bucket(last: u64, from: Moment, length: Duration) -> u64 {
    let middle = from.since_origin() + length / 2;
    let second = middle.as_secs();
    let within = middle.subsec_millis();
    let whole = length >= Duration::from_millis(500);
    if whole && second == last && within >= 500 {
        return last + 1;
    }
    if whole && second == last + 2 && within < 500 {
        return last + 1;
    }
    second
}

fn index(second: u64) -> usize {
    usize::try_from(second % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(arrivals: f64) -> Delta {
        Delta {
            arrivals,
            ..Delta::default()
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    #[test]
    fn pods_that_have_not_reported_yet_are_assumed_to_be_like_the_others() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(4);
        let mut buckets = [0; 4];
        for second in 0..10 {
            for (pod, bucket) in buckets.iter_mut().enumerate() {
                let taken = second * 1000 + 900 + pod as u64;
                if second < 9 || pod < 2 {
                    second_buckets.add(
                        at(taken.saturating_sub(1000)),
                        at(taken),
                        bucket,
                        arrived(5.0),
                        true,
                    );
                }
            }
        }
        let last = second_buckets.window(2);
        assert!((last.seconds - 1.5).abs() < 1e-6, "{last:?}");
        assert!((last.rate() - 20.0).abs() < 1e-6, "{last:?}");
    }

    /// At a scrape interval of 10 s, the newest seconds are never complete, and others become complete together.
    #[test]
    fn all_seconds_become_complete_at_long_scrape_intervals() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(2);
        let mut buckets = [0; 2];
        assert_eq!(second_buckets.newest_complete(), None);
        for second in (5..=100).step_by(5) {
            let pod = second / 5 % 2;
            let from = at(1000 * (second as u64).saturating_sub(10));
            let to = at(1000 * second as u64);
            second_buckets.add(from, to, &mut buckets[pod], arrived(30.0), true);
        }
        // The first pod has reported until 100 s, the second until 95 s.
        let newest = second_buckets.newest_complete().unwrap();
        assert!((93..95).contains(&newest), "{newest}");
        for second in 60..=newest {
            let mean = second_buckets.mean_arrivals(second, 4).unwrap();
            assert!((mean - 6.0).abs() < 0.1, "{second}: {mean}");
        }
    }

    #[test]
    fn a_past_period_has_the_sums_of_its_seconds_as_long_as_they_are_kept() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut bucket = 0;
        for second in 1..=400 {
            let (from, to) = (at(1000 * (second - 1)), at(1000 * second));
            second_buckets.add(from, to, &mut bucket, arrived(second as f64), true);
        }
        let ten = second_buckets.between(380..390);
        assert!((ten.seconds - 10.0).abs() < 1e-6, "{ten:?}");
        let other = second_buckets.between(381..391);
        assert!(
            (other.arrivals - ten.arrivals - 10.0).abs() < 1e-3,
            "{other:?}"
        );
        for unknown in [0..10, 85..95, 410..420] {
            assert_eq!(second_buckets.between(unknown), Window::default());
        }
    }

    #[test]
    fn an_early_or_late_reading_does_not_fill_a_second_twice() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut bucket = 0;
        let mut before = 500;
        // The middles alternate between both sides of a second's edge.
        for step in 1..60_u64 {
            let now = 500 + step * 1000 + if step % 2 == 0 { 20 } else { 0 };
            second_buckets.add(at(before), at(now), &mut bucket, arrived(3.0), true);
            before = now;
        }
        let whole: Vec<f64> = second_buckets.arrivals(50).flatten().collect();
        assert_eq!(whole.len(), 50);
        assert!(
            whole.iter().all(|count| (2.9..3.4).contains(count)),
            "{whole:?}"
        );
    }

    #[test]
    fn arrivals_during_a_gap_are_not_a_burst() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut bucket = 0;
        second_buckets.add(at(0), at(1000), &mut bucket, arrived(10.0), true);
        second_buckets.add(at(1000), at(101_000), &mut bucket, arrived(1000.0), true);
        assert!((second_buckets.window(2).rate() - 10.0).abs() < 0.1);
        assert!((second_buckets.window(60).rate() - 10.0).abs() < 0.1);
        assert!((second_buckets.window(300).arrivals - 1010.0).abs() < 0.1);
    }

    #[test]
    fn a_gap_of_a_day_costs_no_more_than_the_ring() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut bucket = 0;
        second_buckets.add(at(0), at(1000), &mut bucket, arrived(10.0), true);
        second_buckets.add(
            at(1000),
            at(86_400_000),
            &mut bucket,
            arrived(864_000.0),
            true,
        );
        assert!((second_buckets.window(60).rate() - 10.0).abs() < 0.1);
        assert_eq!(second_buckets.window(300).seconds, 300.0);
    }
}
