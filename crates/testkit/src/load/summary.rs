//! The summary of a load, for JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The summary of a load, in milliseconds and seconds. The JSON keys are camelCase.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were not sent, because too many were in flight.
    pub not_sent: u64,
    /// The time from the first scheduled departure to the last response.
    pub seconds: f64,
    /// How much later than scheduled the requests departed. Large values mean that the machine was too busy for the
    /// load.
    pub lateness: Spread,
    /// The latency by outcome, with the words of [`Outcome`](super::Outcome).
    pub by_outcome: BTreeMap<String, Spread>,
    /// The steps, in order.
    pub steps: Vec<StepSummary>,
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// The number of values.
    pub n: u64,
    /// The mean, in milliseconds.
    pub mean_ms: f64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// The maximum, in milliseconds.
    pub max_ms: f64,
}

/// A step that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSummary {
    /// The index of the step, from 0.
    pub step: usize,
    /// Requests per second.
    pub rate: f64,
    /// The departure of its first request, in seconds since the start of the load.
    pub start_s: f64,
    /// The same time, in seconds since 1970 on the system clock.
    pub unix_seconds: f64,
}

/// A histogram of times from 1 µs to one hour, to three digits.
pub(super) struct Times(Histogram<u64>);

impl Times {
    #[expect(clippy::expect_used, reason = "the arguments are constants that fit")]
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_max(3_600_000_000, 3).expect("a histogram of an hour"))
    }

    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(super) fn spread(&self) -> Spread {
        let millis = |micros: f64| (micros / 10.0).round() / 100.0;
        let quantile = |q| millis(self.0.value_at_quantile(q) as f64);
        Spread {
            n: self.0.len(),
            mean_ms: millis(self.0.mean()),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            max_ms: quantile(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_times() {
        let mut times = Times::new();
        for ms in 1..=1000 {
            times.record(Duration::from_millis(ms));
        }
        let spread = times.spread();
        assert_eq!(spread.n, 1000);
        for (value, wanted) in [
            (spread.mean_ms, 500.5),
            (spread.p50_ms, 500.0),
            (spread.p99_ms, 990.0),
            (spread.max_ms, 1000.0),
        ] {
            assert!((value - wanted).abs() <= wanted * 0.002, "{spread:?}");
        }
        assert_eq!(Times::new().spread().n, 0);
    }
}
