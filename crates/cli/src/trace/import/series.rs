//! The values of each second, and the rule for how long a sample lasts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pushscale_simulator::traffic::{MAX_SECONDS, Unit};

/// One value per second.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) unit: Unit,
    /// `None` is unknown.
    pub(super) values: Vec<Option<f64>>,
    /// The first second since 1970.
    pub(super) start: i64,
}

/// The earliest and the latest second since 1970, which are at most a month apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span(Option<(i64, i64)>);

impl Span {
    /// Adds a second.
    ///
    /// # Errors
    /// If it is too far from the others.
    pub(super) fn include(&mut self, second: i64) -> Result<(), String> {
        let (first, last) = self.0.unwrap_or((second, second));
        let (earlier, later) = (first.min(second), last.max(second));
        if later - earlier >= MAX_SECONDS as i64 {
            let (other, relation) = if second < first {
                (last, "before the latest")
            } else {
                (first, "after the earliest")
            };
            return Err(format!(
                "its time {} is {} days {relation}, {}: a trace has at most 31 days; correct the time, or import a part",
                time(second),
                (second - other).abs() / 86_400,
                time(other)
            ));
        }
        self.0 = Some((earlier, later));
        Ok(())
    }

    pub(super) fn bounds(self) -> Option<(i64, i64)> {
        self.0
    }
}

/// Formats a second since 1970.
pub(super) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

/// How long each sample lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durations {
    /// The usual distance of two samples in seconds, their median.
    pub(super) step: i64,
    /// A longer distance is a gap.
    longest: i64,
}

impl Durations {
    /// Computes the durations of samples at these seconds, in order; `None` if there are fewer than two. With `gap`,
    /// a longer distance is a gap; otherwise one in which a sample is missing.
    pub(super) fn compute<'a>(
        seconds: impl Iterator<Item = &'a i64> + Clone,
        gap: Option<i64>,
    ) -> Option<Self> {
        let pairs = seconds.clone().zip(seconds.skip(1));
        let mut distances: Vec<i64> = pairs.map(|(one, next)| next - one).collect();
        distances.sort_unstable();
        let step = *distances.get((distances.len().max(1) - 1) / 2)?;
        Some(Self {
            step,
            longest: gap.map_or(2 * step - 1, |gap| gap.max(step)),
        })
    }

    /// Returns how long a sample at `second` lasts if the next one is at `next`; `None` at the end.
    pub(super) fn of_sample(self, second: i64, next: Option<i64>) -> i64 {
        match next {
            Some(next) if !self.is_gap(second, next) => next - second,
            _ => self.step,
        }
    }

    /// Whether it is unknown what happened between two samples.
    pub(super) fn is_gap(self, second: i64, next: i64) -> bool {
        next - second > self.longest
    }
}

/// Samples at seconds since 1970.
pub(super) type Samples = BTreeMap<i64, f64>;

/// Spreads samples over the seconds for which they last. A count is divided by its duration.
///
/// # Errors
/// If there are fewer than two.
pub(super) fn spread(
    samples: &Samples,
    are_counts: bool,
    gap: Option<i64>,
) -> Result<Series, String> {
    let durations = Durations::compute(samples.keys(), gap)
        .ok_or("fewer than two times: a value lasts until the time of the next one")?;
    let start = samples.keys().next().copied().unwrap_or_default();
    let mut values: Vec<Option<f64>> = Vec::new();
    let mut nexts = samples.keys().skip(1);
    let is_every_second = are_counts && durations.step == 1;
    for (second, value) in samples {
        let lasts = durations.of_sample(*second, nexts.next().copied());
        let value = if are_counts {
            value / lasts as f64
        } else {
            *value
        };
        let from = usize::try_from(second - start).unwrap_or_default();
        values.resize(from, None);
        values.resize(
            from + usize::try_from(lasts).unwrap_or_default(),
            Some(value),
        );
    }
    // The last value may last longer than the month that its time is in.
    values.truncate(MAX_SECONDS);
    Ok(Series {
        unit: if is_every_second && values.iter().flatten().all(|value| value.fract() == 0.0) {
            Unit::Requests
        } else {
            Unit::RequestsPerSecond
        },
        values,
        start,
    })
}
