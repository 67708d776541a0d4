//! The wait from the metrics port alone: of requests already answered. Late, high while a queue drains, and
//! blind to gRPC; the fallback where the management port says nothing.

use std::time::Duration;

use pushscale_protocol::Basis;

/// Waits of the first answers tell of the model's loading (20 s of waits at once were seen), so they are
/// passed over for this long.
const WARM_UP: Duration = Duration::from_secs(3);

/// A request that was never answered and that nobody follows any more, such as one whose client hung up, is
/// forgotten after this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What the counters of answers say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered {
    first_answer: Option<Duration>,
    watched_from_start: bool,
    last_wait: Option<(Duration, f64)>,
    unanswered: f64,
    last_arrival: Option<Duration>,
}

/// How the counters moved since the scrape before, in requests and seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CounterDeltas {
    pub(super) admitted: f64,
    pub(super) wait: f64,
    pub(super) sojourn: f64,
}

impl Answered {
    /// The server process began under our eyes.
    pub(super) fn from_start() -> Self {
        Self {
            watched_from_start: true,
            ..Self::default()
        }
    }

    /// Takes one scrape.
    pub(super) fn observe(&mut self, at: Duration, deltas: CounterDeltas, service: Option<f64>) {
        if deltas.admitted > 0.0 {
            self.last_arrival = Some(at);
        }
        if deltas.sojourn <= 0.0 {
            self.unanswered += deltas.admitted;
            return;
        }
        self.unanswered = 0.0;
        let first = *self.first_answer.get_or_insert(at);
        let warm = !self.watched_from_start || at.saturating_sub(first) >= WARM_UP;
        let in_worker = deltas.sojourn - deltas.wait;
        // The waits and the times in the worker cover the same requests, so in_worker / S is their number:
        // no count of requests is needed, and arrivals would be the wrong one (torchserve-facts 1.3).
        if let Some(seconds) = service.filter(|_| warm && in_worker > 0.0) {
            self.last_wait = Some((at, seconds * deltas.wait / in_worker));
        }
    }

    /// The wait, in seconds. `quiet` is for how long nothing was answered, `patience` for how long that is
    /// usual; `foreign`: answers that the counters do not show (gRPC) were seen.
    pub(super) fn wait(
        &self,
        at: Duration,
        quiet: Duration,
        patience: Duration,
        foreign: bool,
    ) -> (Option<f64>, Basis) {
        if let Some((when, wait)) = self.last_wait
            && at.saturating_sub(when) <= patience
        {
            return (Some(wait), Basis::Answered);
        }
        let silence = self.last_arrival.map(|last| at.saturating_sub(last));
        if self.unanswered < 0.5 || silence.is_none_or(|silence| silence >= FORGOTTEN_AFTER) {
            let warming = self.watched_from_start
                && self
                    .first_answer
                    .is_some_and(|first| at.saturating_sub(first) < WARM_UP);
            return if warming {
                (None, Basis::Nothing)
            } else {
                (Some(0.0), Basis::EmptyQueue)
            };
        }
        let arriving = silence.is_some_and(|silence| silence <= patience);
        if quiet > patience && arriving && !foreign {
            return (Some(quiet.as_secs_f64()), Basis::Stalled);
        }
        (None, Basis::Nothing)
    }
}
