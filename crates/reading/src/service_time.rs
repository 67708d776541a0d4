//! The time a worker needs for one batch.

use std::collections::VecDeque;

/// Number of observations whose mean is reported. It is the share of a worker that a request needs, which the median
/// of exponential times underestimates by 30%.
const MEAN_OF: usize = 32;

/// An observation counts in the mean as at most this multiple of the median. A scrape observes one request, so requests
/// of 8 s among hundreds of 100 ms would count too often.
const MAX_MEDIANS: f64 = 5.0;

/// Number of observations whose median is used. The median of five follows a changed model within three batches and
/// ignores one request of 8 s among hundreds of 100 ms. A mean overestimated the queue latency behind that request
/// twentyfold.
const MEDIAN_OF: usize = 5;

/// The median and the mean of the newest service times, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceTime {
    newest: VecDeque<f64>,
    mean: Option<f64>,
    median: Option<f64>,
    last_gauge: Option<f64>,
}

impl ServiceTime {
    /// Records the server's gauge of the last batch if it changed or if requests completed: otherwise it still shows a
    /// batch that is already recorded. Returns whether it changed.
    pub(super) fn observe_gauge(&mut self, gauge: Option<f64>, completed: bool) -> bool {
        let Some(seconds) = gauge else { return false };
        let changed = self.last_gauge != Some(seconds);
        self.last_gauge = Some(seconds);
        if changed || completed {
            self.observe(seconds);
        }
        changed
    }

    /// Records a service time, in seconds.
    pub(super) fn observe(&mut self, seconds: f64) {
        if self.newest.len() == MEAN_OF {
            self.newest.pop_front();
        }
        self.newest.push_back(seconds);
        self.median = self.median_of(MEDIAN_OF);
        self.mean = self.median_of(MEAN_OF).map(|median| {
            let most = MAX_MEDIANS * median;
            let sum: f64 = self.newest.iter().map(|seconds| seconds.min(most)).sum();
            sum / self.newest.len() as f64
        });
    }

    pub(super) fn has_gauge(&self) -> bool {
        self.last_gauge.is_some()
    }

    /// Returns the mean, in seconds.
    pub(super) fn mean(&self) -> Option<f64> {
        self.mean
    }

    /// Returns the median of the newest [`MEDIAN_OF`], in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.median
    }

    fn median_of(&self, count: usize) -> Option<f64> {
        let mut newest = [0.0; MEAN_OF];
        let newest = &mut newest[..count.min(self.newest.len())];
        for (place, seconds) in newest.iter_mut().zip(self.newest.iter().rev()) {
            *place = *seconds;
        }
        let middle = newest.len().checked_sub(1)? / 2;
        let (_, median, _) = newest.select_nth_unstable_by(middle, f64::total_cmp);
        Some(*median)
    }
}
