//! The load of a scaler in the last 24 hours, for `pushscale simulate --from`.

use std::collections::VecDeque;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use pushscale_decision::{Decision, MeasuredLoad, Step};

/// The seconds of a bucket.
pub(crate) const LOAD_SECONDS: u16 = 10;

/// Buckets of 24 hours.
const MAX_BUCKETS: usize = 86_400 / LOAD_SECONDS as usize;

/// Buckets are kept in blocks of this number.
const BLOCK: usize = 360;

/// The header of the history as CSV. The first two columns and the time are those of a trace.
const HEADER: &str =
    "t_seconds,requests_per_second,time,service_seconds,workers,pods_reporting,replicas\n";

/// The load of ten seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadSample {
    /// The number of the ten seconds since the origin of moments.
    pub(crate) number: u64,
    /// When they began.
    pub(crate) start: Timestamp,
    /// What was measured in them.
    pub(crate) load: MeasuredLoad,
}

/// The figures of ten seconds in ten bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    rate: CompactF32,
    service: CompactF32,
    workers: Count,
    reporting: Count,
    replicas: Count,
}

/// A number of at least 0 in 16 bits, with nine significant ones, which is an error of at most 0.2%, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CompactF32(u16);

/// A count of up to 65,534, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count(u16);

/// The load of a scaler, in consecutive buckets of ten seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadHistory {
    buckets: VecDeque<Bucket>,
    /// The number and the start of the last bucket.
    last: Option<(u64, Timestamp)>,
}

impl LoadHistory {
    /// Adds the load of ten seconds, with what the last decision says about the fleet. Seconds before it that are
    /// missing are unknown.
    pub(super) fn add(&mut self, sample: &LoadSample, decision: Option<&Decision>, budget: usize) {
        let missing = match self.last {
            Some((last, _)) if sample.number <= last => return,
            Some((last, _)) => sample.number - last - 1,
            None => 0,
        };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        for _ in 0..missing.min(MAX_BUCKETS) {
            self.push(Bucket::default(), budget);
        }
        self.push(Bucket::new(&sample.load, decision), budget);
        self.last = Some((sample.number, sample.start));
    }

    fn push(&mut self, bucket: Bucket, budget: usize) {
        let max = max_buckets(budget);
        if self.buckets.len() >= max {
            self.buckets.drain(..=self.buckets.len() - max);
        } else if self.buckets.len() == self.buckets.capacity() {
            self.buckets
                .reserve_exact(BLOCK.min(max - self.buckets.len()));
        }
        self.buckets.push_back(bucket);
    }

    /// The bytes of the buckets.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Whether it has more than the budget allows.
    pub(super) fn exceeds(&self, budget: usize) -> bool {
        self.buckets.capacity() > max_buckets(budget)
    }

    /// Drops the oldest buckets beyond the budget.
    pub(super) fn trim(&mut self, budget: usize) {
        let max = max_buckets(budget);
        self.buckets.drain(..self.buckets.len().saturating_sub(max));
        self.buckets.shrink_to(max);
    }

    /// Puts an older history before this one, within the budget, and returns the seconds that it adds. Seconds between
    /// them are unknown.
    pub(super) fn prepend(&mut self, older: &Self, budget: usize) -> usize {
        let (Some((end, end_at)), own) = (older.last, self.first()) else {
            return 0;
        };
        let own = own.unwrap_or(end + 1);
        // Where both have figures, keep ours.
        let overlap = usize::try_from((end + 1).saturating_sub(own)).unwrap_or(usize::MAX);
        let kept = older.buckets.len().saturating_sub(overlap);
        let gap = usize::try_from(own.saturating_sub(end + 1)).unwrap_or(usize::MAX);
        let room = max_buckets(budget).saturating_sub(self.buckets.len());
        if kept == 0 || gap >= room {
            return 0;
        }
        let added = kept.min(room - gap);
        let mut buckets = VecDeque::with_capacity(added + gap + self.buckets.len());
        buckets.extend(older.buckets.range(kept - added..kept));
        buckets.extend(std::iter::repeat_n(Bucket::default(), gap));
        buckets.extend(&self.buckets);
        self.buckets = buckets;
        self.last.get_or_insert((end, end_at));
        added * usize::from(LOAD_SECONDS)
    }

    /// The number of the first bucket.
    fn first(&self) -> Option<u64> {
        let (last, _) = self.last?;
        Some((last + 1).saturating_sub(self.buckets.len() as u64))
    }

    /// Parses what [`Self::csv`] returns; `None` if it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(HEADER)?;
        let mut history = Self::default();
        for line in lines.lines().take(MAX_BUCKETS) {
            let mut fields = line.split(',').skip(1);
            let mut field = || fields.next();
            let (rate, at) = (CompactF32::parse(field()?)?, field()?);
            let bucket = Bucket {
                rate,
                service: CompactF32::parse(field()?)?,
                workers: Count::parse(field()?)?,
                reporting: Count::parse(field()?)?,
                replicas: Count::parse(field()?)?,
            };
            let start: Timestamp = at.parse().ok()?;
            // The buckets of all aggregators begin at multiples of their length; the time is rounded to a second.
            let length = u64::from(LOAD_SECONDS);
            let number = (u64::try_from(start.as_second()).ok()? + length / 2) / length;
            if history.last.is_some_and(|(last, _)| number != last + 1) {
                return None;
            }
            history.buckets.push_back(bucket);
            history.last = Some((number, start));
        }
        Some(history)
    }

    /// Returns the history as CSV, which is a trace for `pushscale simulate`. What is unknown is empty.
    pub(crate) fn csv(&self) -> String {
        let mut text = HEADER.to_owned();
        let Some((_, last)) = self.last else {
            return text;
        };
        let steps = || (0..).step_by(LOAD_SECONDS.into());
        let length: i64 = steps().nth(self.buckets.len() - 1).unwrap_or_default();
        let first = last
            .checked_sub(SignedDuration::from_secs(length))
            .unwrap_or(last);
        for (second, bucket) in steps().zip(&self.buckets) {
            let at = first
                .checked_add(SignedDuration::from_secs(second))
                .unwrap_or(first);
            // Writing to a String cannot fail.
            writeln!(
                text,
                "{second},{},{at:.0},{},{},{},{}",
                bucket.rate, bucket.service, bucket.workers, bucket.reporting, bucket.replicas
            )
            .unwrap_or_default();
        }
        text
    }
}

impl Bucket {
    fn new(load: &MeasuredLoad, decision: Option<&Decision>) -> Self {
        let workers = decision.and_then(|decision| {
            decision.steps.iter().find_map(|step| match step {
                Step::Capacity { workers, .. } => Some(*workers),
                _ => None,
            })
        });
        Self {
            rate: CompactF32::new(load.rate),
            service: CompactF32::new(load.service),
            workers: Count::new(workers),
            reporting: Count::new(decision.map(|decision| decision.freshness.fresh)),
            replicas: Count::new(decision.and_then(|decision| decision.current)),
        }
    }
}

impl CompactF32 {
    const UNKNOWN: Self = Self(u16::MAX);

    /// Keeps the exponent and the first eight bits of the mantissa, rounded. There is no sign.
    fn new(figure: Option<f64>) -> Self {
        let Some(figure) = figure.filter(|figure| *figure >= 0.0) else {
            return Self::UNKNOWN;
        };
        #[expect(clippy::cast_possible_truncation, reason = "it is rounded anyway")]
        let bits = (figure as f32).to_bits();
        let rounded = (bits >> 15) + ((bits >> 14) & 1);
        Self(u16::try_from(rounded).unwrap_or(u16::MAX))
    }

    /// Parses a number; an empty field is unknown.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::UNKNOWN);
        }
        text.parse().ok().map(|figure| Self::new(Some(figure)))
    }

    fn get(self) -> Option<f32> {
        (self != Self::UNKNOWN).then(|| f32::from_bits(u32::from(self.0) << 15))
    }
}

impl Default for CompactF32 {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl std::fmt::Display for CompactF32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().map_or(Ok(()), |figure| write!(f, "{figure}"))
    }
}

impl Count {
    const UNKNOWN: Self = Self(u16::MAX);

    fn new(count: Option<u32>) -> Self {
        count.map_or(Self::UNKNOWN, |count| {
            Self(u16::try_from(count).unwrap_or(u16::MAX - 1))
        })
    }

    /// Parses a count; an empty field is unknown.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::UNKNOWN);
        }
        text.parse().ok().map(|count| Self::new(Some(count)))
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::UNKNOWN {
            return Ok(());
        }
        write!(f, "{}", self.0)
    }
}

/// The buckets that a scaler with this budget in bytes may have.
fn max_buckets(budget: usize) -> usize {
    (budget / size_of::<Bucket>()).clamp(1, MAX_BUCKETS)
}

/// The seconds that a history with this budget in bytes covers at most.
pub(super) fn max_seconds(budget: usize) -> usize {
    max_buckets(budget) * usize::from(LOAD_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{decision, steps};

    /// The number of the bucket that begins at 2026-01-05T08:00:00Z.
    const FIRST: u64 = 176_760_000;

    fn sample(number: u64, rate: Option<f64>) -> LoadSample {
        let number = FIRST + number;
        let second = i64::try_from(number).unwrap() * i64::from(LOAD_SECONDS);
        LoadSample {
            number,
            start: Timestamp::from_second(second).unwrap(),
            load: MeasuredLoad {
                rate,
                service: Some(0.125),
            },
        }
    }

    #[test]
    fn the_history_is_a_trace_with_its_gaps() {
        let mut history = LoadHistory::default();
        assert_eq!(history.csv(), HEADER);
        let decision = decision(steps(84.0));
        for (number, rate) in [(3, Some(2.5)), (4, None), (7, Some(0.0)), (7, Some(9.0))] {
            history.add(&sample(number, rate), Some(&decision), usize::MAX);
        }
        let expected = "0,2.5,2026-01-05T08:00:30Z,0.125,4,0,3\n\
                        10,,2026-01-05T08:00:40Z,0.125,4,0,3\n\
                        20,,2026-01-05T08:00:50Z,,,,\n\
                        30,,2026-01-05T08:01:00Z,,,,\n\
                        40,0,2026-01-05T08:01:10Z,0.125,4,0,3\n";
        assert_eq!(history.csv(), format!("{HEADER}{expected}"));
    }

    #[test]
    fn the_history_of_another_aggregator_goes_before_the_own_one() {
        let history = |numbers: std::ops::Range<u64>, rate| {
            let mut history = LoadHistory::default();
            for number in numbers {
                history.add(&sample(number, Some(rate)), None, usize::MAX);
            }
            history
        };
        let rates = |history: &LoadHistory| {
            let csv = history.csv();
            let rates = csv
                .lines()
                .skip(1)
                .map(|line| line.split(',').nth(1).unwrap());
            rates.collect::<Vec<_>>().join(" ")
        };
        let other = history(0..4, 1.0);
        let older = LoadHistory::parse(&other.csv()).unwrap();
        assert_eq!(older.csv(), other.csv());
        for (own, expected, added) in [
            // Nothing is measured yet, some seconds are missing, and both have measured some.
            (history(0..0, 2.0), "1 1 1 1", 40),
            (history(6..8, 2.0), "1 1 1 1   2 2", 40),
            (history(2..5, 2.0), "1 1 2 2 2", 20),
            (history(0..2, 2.0), "2 2", 0),
        ] {
            let mut own = own;
            assert_eq!(own.prepend(&older, usize::MAX), added, "{expected}");
            assert_eq!(rates(&own), expected);
            // Once more changes nothing, and what is measured next follows.
            assert_eq!(own.prepend(&older, usize::MAX), 0, "{expected}");
            own.add(&sample(8, Some(3.0)), None, usize::MAX);
            assert!(rates(&own).ends_with(" 3"), "{}", rates(&own));
        }
        let mut own = history(4..5, 2.0);
        assert_eq!(own.prepend(&older, 3 * size_of::<Bucket>()), 20);
        assert_eq!(rates(&own), "1 1 2");
        let mut months_later = history(1_000_000..1_000_001, 2.0);
        assert_eq!(months_later.prepend(&older, usize::MAX), 0);
        for other in ["", "t_seconds,requests_per_second\n0,1\n", "<html>"] {
            assert!(LoadHistory::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_day_takes_87_kb_and_the_oldest_buckets_make_room() {
        let mut history = LoadHistory::default();
        for number in 0..10_000 {
            history.add(&sample(number, Some(1.0)), None, usize::MAX);
        }
        assert_eq!(history.buckets.len(), MAX_BUCKETS);
        assert_eq!(history.bytes(), 86_400);
        let budget = 10_000;
        assert!(history.exceeds(budget));
        history.trim(budget);
        assert!(!history.exceeds(budget) && history.bytes() <= budget);
        let csv = history.csv();
        assert_eq!(csv.lines().count(), 1001);
        assert!(
            csv.lines()
                .nth(1)
                .unwrap()
                .starts_with("0,1,2026-01-06T09:00:00Z,"),
            "{csv:.200}"
        );
        // A pause of months is a day of gaps.
        history.add(&sample(10_000_000, Some(1.0)), None, usize::MAX);
        assert_eq!(history.buckets.len(), MAX_BUCKETS);
    }

    #[test]
    fn figures_are_rounded_to_a_fifth_of_a_percent() {
        for exponent in -20_i32..40 {
            for part in 0..100 {
                let figure = (1.0 + f64::from(part) / 100.0) * 2.0_f64.powi(exponent);
                let found = f64::from(CompactF32::new(Some(figure)).get().unwrap());
                assert!(
                    (found / figure - 1.0).abs() <= 1.0 / 512.0,
                    "{figure}: {found}"
                );
            }
        }
        assert_eq!(CompactF32::new(Some(0.0)).get(), Some(0.0));
        for unknown in [None, Some(f64::NAN), Some(-1.0)] {
            assert_eq!(CompactF32::new(unknown).get(), None);
        }
        assert_eq!(Count::new(Some(70_000)).to_string(), "65534");
    }
}
