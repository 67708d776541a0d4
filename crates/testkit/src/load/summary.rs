//! The result of a load in a few numbers, for JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Everything in milliseconds and seconds; keys are camelCase.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Requests that left.
    pub sent: u64,
    /// Requests that did not, because too many were in flight.
    pub not_sent: u64,
    /// From the first departure that was due to the last answer.
    pub seconds: f64,
    /// How late requests left. Large values: the machine was too busy for this load.
    pub lateness: Spread,
    /// Latency by outcome, [`Outcome`](super::Outcome)'s word.
    pub by_outcome: BTreeMap<String, Spread>,
    /// In the order in which they began.
    pub steps: Vec<StepSummary>,
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many.
    pub n: u64,
    /// Milliseconds.
    pub mean_ms: f64,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
}

/// A step as it began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSummary {
    /// From 0, as in the options.
    pub step: usize,
    /// Requests per second.
    pub rate: f64,
    /// When its first request left, from the start of the load.
    pub start_s: f64,
    /// The same on the system clock.
    pub unix_seconds: f64,
}

/// Times of 1 µs to an hour, to three digits.
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
