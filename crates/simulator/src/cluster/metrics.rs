//! The metrics of a run.

use hdrhistogram::Histogram;

use super::goal::Goal;
use super::job::Job;
use crate::quantity::to_u32_saturating;

/// A month in microseconds. No run is longer.
const MAX_WAIT: u64 = 31 * 86_400 * 1_000_000;

/// The outcomes of the requests of each second.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Waits beyond this are bad, in seconds.
    limit: f64,
    seconds: Vec<Requests>,
    /// Waits in microseconds, and those of the requests that were sent in the second half of the run.
    waits: Histogram<u64>,
    settled_waits: Histogram<u64>,
    pub(super) total_wait: f64,
    pub(super) late: u64,
    pub(super) completed: u64,
    closed: bool,
}

/// The requests that arrived in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    pub(super) arrived: u32,
    /// The sum of the known waits in seconds, and their number.
    wait: f64,
    waited: u32,
    /// Requests that were rejected with 503, had no pod, or were lost with their pod.
    failed: u32,
}

impl Requests {
    /// The mean wait of the completed requests, in seconds.
    pub(super) fn mean_wait(&self) -> Option<f64> {
        (self.waited > 0).then(|| self.wait / f64::from(self.waited))
    }

    pub(super) fn violated(&self, limit: f64) -> bool {
        self.failed > 0 || self.mean_wait().is_some_and(|wait| wait > limit)
    }
}

impl Metrics {
    /// Creates the metrics of requests that are judged by this wait, in seconds.
    pub(super) fn new(seconds: usize, objective: f64) -> Self {
        // The bounds are fixed, because `saturating_record` does not grow a histogram that resizes itself.
        #[expect(
            clippy::expect_used,
            reason = "these bounds and three digits are allowed"
        )]
        let waits = Histogram::new_with_bounds(1, MAX_WAIT, 3).expect("a histogram");
        Self {
            limit: Goal::VIOLATION_FACTOR * objective,
            seconds: vec![Requests::default(); seconds],
            settled_waits: waits.clone(),
            waits,
            total_wait: 0.0,
            late: 0,
            completed: 0,
            closed: false,
        }
    }

    pub(super) fn arrived(&mut self, second: usize, requests: u32) {
        if let Some(entry) = self.seconds.get_mut(second) {
            entry.arrived += requests;
        }
    }

    /// Records a completed request that waited this many seconds in its pod. The time that earlier failures took
    /// counts as wait.
    pub(super) fn record_completed(&mut self, job: &Job, waited_here: f64) {
        let waited = waited_here + (job.arrived - job.sent);
        if !self.closed {
            self.completed += 1;
        }
        if let Some(entry) = self.second_of(job.sent) {
            entry.wait += waited;
            entry.waited += 1;
        }
        self.total_wait += waited;
        if waited > self.limit {
            self.late += 1;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never negative, and a double saturates"
        )]
        let microseconds = (waited * 1e6).round() as u64;
        self.waits.saturating_record(microseconds);
        if job.sent >= self.seconds.len() as f64 / 2.0 {
            self.settled_waits.saturating_record(microseconds);
        }
    }

    /// Ends the run. Requests that complete later do not count as completed, but their waits do.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Records that a request failed.
    pub(super) fn failed(&mut self, job: &Job) {
        if let Some(entry) = self.second_of(job.sent) {
            entry.failed += 1;
        }
    }

    fn second_of(&mut self, at: f64) -> Option<&mut Requests> {
        self.seconds.get_mut(to_u32_saturating(at) as usize)
    }

    pub(super) fn seconds(&self) -> &[Requests] {
        &self.seconds
    }

    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// Returns the wait that this share of the requests does not exceed, in seconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        self.waits.value_at_quantile(share) as f64 / 1e6
    }

    /// Returns the same for the requests that were sent in the second half of the run.
    pub(super) fn settled_quantile(&self, share: f64) -> f64 {
        self.settled_waits.value_at_quantile(share) as f64 / 1e6
    }

    pub(super) fn waits_known(&self) -> u64 {
        self.waits.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_waits() {
        let mut metrics = Metrics::new(1, 0.05);
        for hundredth in 1..=100 {
            let job = Job {
                sent: 0.0,
                arrived: 0.0,
                service: 1.0,
                timed: true,
                balancer: 0,
                failures: 0,
                abandoned: false,
            };
            metrics.record_completed(&job, f64::from(hundredth) * 0.1);
        }
        assert!((metrics.quantile(0.95) - 9.5).abs() < 0.01);
        assert!((metrics.quantile(0.99) - 9.9).abs() < 0.01);
        assert_eq!(metrics.late, 98);
    }
}
