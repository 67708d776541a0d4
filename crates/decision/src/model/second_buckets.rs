//! What the whole fleet did in each of the last seconds.

use std::time::Duration;

use crate::moment::Moment;
use crate::snapshot::Snapshot;

/// So many seconds are kept: the longest window, and a few for readings that come late.
const KEPT: usize = 304;

/// A second of which a smaller share of the pods has told says nothing yet.
const LEAST_TOLD: f64 = 0.2;

/// Pods tell of a second up to so many seconds later.
const LATE: u64 = 3;

/// A second of which this share has told is as good as complete.
const NEARLY_ALL: f64 = 0.9;

/// Readings further apart than this are a gap: what they count is spread over it (docs/ALGORITHM.md, I1b). Nearer ones
/// are put into one second whole, since halves of two seconds look calmer than either was.
const LONGEST_STEP: Duration = Duration::from_millis(1500);

/// The fleet's totals, second by second.
///
/// Pods push at different moments within a second, so the newest second is never complete. Each second knows which
/// share of the serving pods has told of it, and rates are taken over the told shares: the others are assumed
/// to be like them.
#[derive(Clone, Debug)]
pub(crate) struct SecondBuckets {
    seconds: Box<[Second]>,
    /// Number of the newest second.
    newest: u64,
    /// Number of the first second that anybody told of; `None`: nobody has.
    first: Option<u64>,
    /// Pods that should tell.
    expected: f32,
}

/// One second. Sums over all pods; times in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    arrivals: f32,
    completed: f32,
    waited: f32,
    served: f32,
    covered: f32,
    expected: f32,
}

/// What was counted between two readings of one pod. Times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Delta {
    pub(crate) arrivals: f64,
    /// Of answered requests: how many, their waits, their times in a worker.
    pub(crate) completed: f64,
    pub(crate) waited: f64,
    pub(crate) served: f64,
}

impl Delta {
    /// Leaves what was answered out, and all that says of service.
    pub(crate) fn forget_answers(&mut self) {
        *self = Self {
            arrivals: self.arrivals,
            ..Self::default()
        };
    }
}

/// Sums over some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) arrivals: f64,
    pub(crate) completed: f64,
    pub(crate) waited: f64,
    pub(crate) served: f64,
    /// How many seconds they are worth; less than asked for where not all pods have told.
    pub(crate) seconds: f64,
}

impl Window {
    /// Arrivals a second.
    pub(crate) fn rate(&self) -> f64 {
        self.arrivals / self.seconds.max(1e-9)
    }
}

impl Default for SecondBuckets {
    fn default() -> Self {
        Self {
            seconds: vec![Second::default(); KEPT].into_boxed_slice(),
            newest: 0,
            first: None,
            expected: 0.0,
        }
    }
}

impl SecondBuckets {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        for second in &mut self.seconds {
            let Second {
                arrivals,
                completed,
                waited,
                served,
                covered,
                expected,
            } = second;
            for number in [arrivals, completed, waited, served, covered, expected] {
                snapshot.f32(number);
            }
        }
        snapshot.u64(&mut self.newest);
        snapshot.option(&mut self.first, u64::default, Snapshot::u64);
        snapshot.f32(&mut self.expected);
    }

    /// Number of the second after the newest one: how late it is, by what has been told.
    pub(crate) fn now(&self) -> u64 {
        self.newest + 1
    }

    /// Adds what one pod counted from `from` to `to`. `place` is the second that its last count went into; `serves`:
    /// the pod is one of those that should tell.
    pub(crate) fn add(
        &mut self,
        from: Moment,
        to: Moment,
        place: &mut u64,
        delta: Delta,
        serves: bool,
    ) {
        let length = to.since(from);
        if length.is_zero() {
            return;
        }
        if length <= LONGEST_STEP {
            let second = next_place(*place, from, length);
            *place = second;
            let covered = if serves { length.as_secs_f64() } else { 0.0 };
            self.put(second, delta, covered);
            return;
        }
        let (start, end) = (from.since_origin(), to.since_origin());
        let last = end.as_secs();
        *place = last;
        // What is older than the ring is lost, as it would be by now had it come in time.
        for second in start.as_secs().max(last.saturating_sub(KEPT as u64 - 1))..=last {
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
        size_of_val(&*self.seconds)
    }

    fn put(&mut self, second: u64, delta: Delta, covered: f64) {
        self.advance(second);
        if self.newest - second.min(self.newest) >= KEPT as u64 {
            return;
        }
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        let entry = &mut self.seconds[index(second)];
        entry.arrivals += single(delta.arrivals);
        entry.completed += single(delta.completed);
        entry.waited += single(delta.waited);
        entry.served += single(delta.served);
        entry.covered += single(covered);
    }

    /// Makes room up to `second`.
    fn advance(&mut self, second: u64) {
        if second <= self.newest {
            return;
        }
        let steps = (second - self.newest).min(KEPT as u64);
        for number in second + 1 - steps..=second {
            self.seconds[index(number)] = Second {
                expected: self.expected,
                ..Second::default()
            };
        }
        self.newest = second;
    }

    /// From now on so many pods should tell.
    pub(crate) fn expect(&mut self, pods: u32) {
        #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
        let pods = pods as f32;
        self.expected = pods;
        self.seconds[index(self.newest)].expected = pods;
    }

    /// The last `seconds` seconds.
    pub(crate) fn window(&self, seconds: u64) -> Window {
        let mut sum = Window::default();
        for second in self.last(seconds) {
            let told = second.told();
            if told > 0.0 {
                sum.arrivals += f64::from(second.arrivals);
                sum.completed += f64::from(second.completed);
                sum.waited += f64::from(second.waited);
                sum.served += f64::from(second.served);
                sum.seconds += told;
            }
        }
        sum
    }

    /// The arrivals in each of the last `seconds` seconds of which nearly all pods have told, oldest first; `None` for
    /// the others.
    pub(crate) fn arrivals(&self, seconds: u64) -> impl Iterator<Item = Option<f64>> {
        self.last(seconds).map(|second| {
            let told = second.told();
            (told >= NEARLY_ALL).then(|| f64::from(second.arrivals) / told)
        })
    }

    /// Arrivals a second on average over the newest `seconds` complete seconds, if they are of the last few.
    pub(crate) fn newest_whole(&self, seconds: usize) -> Option<f64> {
        let whole = || self.arrivals(seconds as u64 + LATE).flatten();
        let count = whole().count();
        let used = count.min(seconds);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        (used > 0).then(|| whole().skip(count - used).sum::<f64>() / used as f64)
    }

    fn last(&self, seconds: u64) -> impl Iterator<Item = &Second> {
        let first = self.first.unwrap_or(self.newest + 1);
        let from = (self.newest + 1).saturating_sub(seconds.min(KEPT as u64 - 1));
        (from.max(first)..=self.newest).map(|number| &self.seconds[index(number)])
    }
}

impl Second {
    /// Which share of the pods has told of it.
    fn told(&self) -> f64 {
        if self.covered <= 0.0 {
            return 0.0;
        }
        let share = f64::from(self.covered) / f64::from(self.expected.max(1.0));
        if share < LEAST_TOLD {
            0.0
        } else {
            share.min(1.0)
        }
    }
}

impl Delta {
    fn times(self, share: f64) -> Self {
        Self {
            arrivals: self.arrivals * share,
            completed: self.completed * share,
            waited: self.waited * share,
            served: self.served * share,
        }
    }
}

/// The second of a short step: that of its middle, but a pod that pushes near a second's edge and is a little early
/// or late must not fill one second twice and leave the next one empty.
fn next_place(last: u64, from: Moment, length: Duration) -> u64 {
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
    usize::try_from(second % KEPT as u64).unwrap_or(0)
}

fn single(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a second's sums, seven digits of them"
    )]
    {
        value as f32
    }
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
    fn pods_that_have_not_told_yet_are_taken_to_be_like_the_others() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.expect(4);
        let mut places = [0; 4];
        for second in 0..10 {
            for (pod, place) in places.iter_mut().enumerate() {
                let told = second * 1000 + 900 + pod as u64;
                if second < 9 || pod < 2 {
                    second_buckets.add(
                        at(told.saturating_sub(1000)),
                        at(told),
                        place,
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

    #[test]
    fn a_reading_a_little_early_or_late_fills_no_second_twice() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.expect(1);
        let mut place = 0;
        let mut before = 500;
        // Middles on either side of a second's edge, in turn.
        for step in 1..60_u64 {
            let now = 500 + step * 1000 + if step % 2 == 0 { 20 } else { 0 };
            second_buckets.add(at(before), at(now), &mut place, arrived(3.0), true);
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
    fn what_came_in_during_a_gap_is_no_burst() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.expect(1);
        let mut place = 0;
        second_buckets.add(at(0), at(1000), &mut place, arrived(10.0), true);
        second_buckets.add(at(1000), at(101_000), &mut place, arrived(1000.0), true);
        assert!((second_buckets.window(2).rate() - 10.0).abs() < 0.1);
        assert!((second_buckets.window(60).rate() - 10.0).abs() < 0.1);
        assert!((second_buckets.window(300).arrivals - 1010.0).abs() < 0.1);
    }

    #[test]
    fn a_day_without_a_word_costs_no_more_than_the_ring() {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.expect(1);
        let mut place = 0;
        second_buckets.add(at(0), at(1000), &mut place, arrived(10.0), true);
        second_buckets.add(
            at(1000),
            at(86_400_000),
            &mut place,
            arrived(864_000.0),
            true,
        );
        assert!((second_buckets.window(60).rate() - 10.0).abs() < 0.1);
        assert_eq!(second_buckets.window(300).seconds, 300.0);
    }
}
