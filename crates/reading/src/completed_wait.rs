//! Queue latency of completed requests, from the metrics port alone. It lags, is too high while a queue drains, and
//! does not cover gRPC; it is the fallback without a management port.

use std::time::Duration;

use pushscale_protocol::Basis;

/// The queue latencies of the first completions include the time the model took to load (up to 20 s were observed), so
/// they are ignored for this long.
const WARM_UP: Duration = Duration::from_secs(3);

/// Arrivals without a completion, for example because a client disconnected, are ignored after this long.
const ARRIVALS_EXPIRE_AFTER: Duration = Duration::from_secs(60);

/// The error of the number of completed requests, as a share of those that have arrived.
const UNCERTAIN: f64 = 0.05;

/// Queue latency according to the counters of completed requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompletedWait {
    first_completion: Option<Duration>,
    observed_from_start: bool,
    last_wait: Option<(Duration, f64)>,
    /// Requests that have arrived and not completed, and those that arrived since the queue was last empty.
    incomplete: f64,
    arrived: f64,
    /// Whether an unknown number of requests has completed.
    is_unknown: bool,
    last_arrival: Option<Duration>,
}

/// Counter increments since the previous scrape, in requests and seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CounterDeltas {
    pub(super) admitted: f64,
    pub(super) wait: f64,
    pub(super) sojourn: f64,
}

impl CounterDeltas {
    /// Returns the time of completed requests in workers, in request-seconds.
    pub(super) fn in_workers(self) -> f64 {
        (self.sojourn - self.wait).max(0.0)
    }
}

impl CompletedWait {
    /// Creates the state of a model. `from_start`: its server process was observed from the start.
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            observed_from_start: from_start,
            ..Self::default()
        }
    }

    /// Processes the next scrape.
    pub(super) fn observe(&mut self, at: Duration, deltas: CounterDeltas, service: Option<f64>) {
        if deltas.admitted > 0.0 {
            self.last_arrival = Some(at);
        }
        let in_workers = deltas.in_workers();
        if deltas.sojourn > 0.0 && deltas.wait < in_workers {
            // They waited for less than one service time: the queue was empty when they arrived, and only requests of
            // this scrape can be incomplete.
            (self.incomplete, self.arrived) = (0.0, 0.0);
        }
        self.incomplete += deltas.admitted;
        self.arrived += deltas.admitted;
        if deltas.sojourn <= 0.0 {
            return;
        }
        let service = service.filter(|seconds| *seconds > 0.0);
        self.is_unknown = service.is_none();
        let completed = service.map_or(0.0, |service| in_workers / service);
        self.incomplete = (self.incomplete - completed).max(0.0);
        let first = *self.first_completion.get_or_insert(at);
        let warm = !self.observed_from_start || at.saturating_sub(first) >= WARM_UP;
        // Both sums cover the same requests: `in_workers / service` is their number. The arrivals are other requests.
        if let Some(seconds) = service.filter(|_| warm && in_workers > 0.0) {
            self.last_wait = Some((at, seconds * deltas.wait / in_workers));
        }
    }

    /// Returns the queue latency in seconds, and its basis. `idle` is the time since the last completion,
    /// `stall_after` the time after which that is a stall. `uncounted`: there were completions that the counters do not
    /// include (gRPC).
    pub(super) fn wait(
        &self,
        at: Duration,
        idle: Duration,
        stall_after: Duration,
        uncounted: bool,
    ) -> (Option<f64>, Basis) {
        if let Some((when, wait)) = self.last_wait
            && at.saturating_sub(when) <= stall_after
        {
            return (Some(wait), Basis::Completed);
        }
        let since_arrival = self.last_arrival.map(|last| at.saturating_sub(last));
        let has_none = self.incomplete < 0.5 + UNCERTAIN * self.arrived && !self.is_unknown;
        if has_none || since_arrival.is_none_or(|since| since >= ARRIVALS_EXPIRE_AFTER) {
            let warming = self.observed_from_start
                && self
                    .first_completion
                    .is_some_and(|first| at.saturating_sub(first) < WARM_UP);
            return if warming {
                (None, Basis::Nothing)
            } else {
                (Some(0.0), Basis::EmptyQueue)
            };
        }
        let arriving = since_arrival.is_some_and(|since| since <= stall_after);
        if idle > stall_after && arriving && !uncounted {
            return (Some(idle.as_secs_f64()), Basis::Stalled);
        }
        (None, Basis::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// One worker with services of a second is scraped each second. `scrapes` are arrivals and completed requests.
    /// Returns the queue latency after that and three more scrapes without changes.
    fn wait_after(scrapes: &[(f64, f64)], wait: f64, service: Option<f64>) -> Option<f64> {
        let mut completed_wait = CompletedWait::new(false);
        let mut at = Duration::ZERO;
        for &(admitted, completed) in scrapes.iter().chain(&[(0.0, 0.0); 3]) {
            at += SECOND;
            let deltas = CounterDeltas {
                admitted,
                wait: wait * completed,
                sojourn: (wait + 1.0) * completed,
            };
            completed_wait.observe(at, deltas, service);
        }
        completed_wait.wait(at, 3 * SECOND, 2 * SECOND, false).0
    }

    #[test]
    fn a_completed_request_does_not_complete_the_others() {
        // A worker hung after the first of 30 requests.
        assert_eq!(wait_after(&[(30.0, 1.0)], 0.0, Some(1.0)), None);
        assert_eq!(wait_after(&[(30.0, 1.0); 9], 5.0, Some(1.0)), None);
        assert_eq!(
            wait_after(&[(30.0, 1.0), (0.0, 29.0)], 5.0, Some(1.0)),
            Some(0.0)
        );
        assert_eq!(
            wait_after(&[(30.0, 1.0), (0.0, 1.0)], 0.0, Some(1.0)),
            Some(0.0)
        );
    }

    #[test]
    fn without_a_service_time_the_number_of_completed_requests_is_unknown() {
        assert_eq!(wait_after(&[(30.0, 30.0)], 5.0, None), None);
        assert_eq!(wait_after(&[(30.0, 30.0)], 5.0, Some(1.0)), Some(0.0));
    }
}
