//! Queue latency of completed requests, from the metrics port alone. It lags, is too high while a queue drains, and
//! does not cover gRPC; it is the fallback without a management port.

use std::time::Duration;

use pushscale_protocol::Basis;

/// The queue latencies of the first completions include the time the model took to load (up to 20 s were observed), so
/// they are ignored for this long.
const WARM_UP: Duration = Duration::from_secs(3);

/// Arrivals without a completion, for example of a client that disconnected, are ignored after this long.
const ARRIVALS_EXPIRE_AFTER: Duration = Duration::from_secs(60);

/// Queue latency according to the counters of completed requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompletedWait {
    first_completion: Option<Duration>,
    observed_from_start: bool,
    last_wait: Option<(Duration, f64)>,
    incomplete: f64,
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
        if deltas.sojourn <= 0.0 {
            self.incomplete += deltas.admitted;
            return;
        }
        self.incomplete = 0.0;
        let first = *self.first_completion.get_or_insert(at);
        let warm = !self.observed_from_start || at.saturating_sub(first) >= WARM_UP;
        let in_workers = deltas.in_workers();
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
            return (Some(wait), Basis::Answered);
        }
        let since_arrival = self.last_arrival.map(|last| at.saturating_sub(last));
        if self.incomplete < 0.5 || since_arrival.is_none_or(|since| since >= ARRIVALS_EXPIRE_AFTER)
        {
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
