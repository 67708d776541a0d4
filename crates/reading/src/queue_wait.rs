//! Queue latency from the queue depth. It does not lag, and is accurate while a queue drains, for gRPC and with
//! batching.

use std::collections::VecDeque;
use std::time::Duration;

use pushscale_protocol::Basis;

use crate::scrape::Queue;

/// Window of the completion rate. In a shorter window, the idle time before a new queue would weigh too much; a longer
/// window lags.
const RATE_WINDOW: Duration = Duration::from_millis(2900);

/// Fewer departures than this, in requests, count as none. The two ports are scraped a few milliseconds apart, so a
/// request that arrives in between is in only one of the numbers. One such phantom departure in three seconds turned a
/// queue latency of 18 s into 52 s.
pub(super) const JITTER: f64 = 1.5;

/// Queue latency according to the queue depth.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueWait {
    /// Scrapes since the queue was last empty, at most one of them older than the window.
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Duration,
    waiting: f64,
    /// Arrivals that were not rejected, cumulative.
    admitted: f64,
}

impl QueueWait {
    /// Discards the past scrapes, after which the completion rate has changed.
    pub(super) fn reset(&mut self) {
        self.points.clear();
    }

    /// Processes the next scrape. `admitted` is the cumulative number of arrivals that were not rejected.
    pub(super) fn observe(&mut self, at: Duration, queue: &Queue, admitted: f64) {
        if queue.waiting <= 0.0 || queue.workers_ready <= 0.0 {
            self.points.clear();
            return;
        }
        self.points.push_back(Point {
            at,
            waiting: queue.waiting,
            admitted,
        });
        while self
            .points
            .get(1)
            .is_some_and(|next| at.saturating_sub(next.at) >= RATE_WINDOW)
        {
            self.points.pop_front();
        }
    }

    /// Completions per second over the window; `None` unless requests waited at both of its ends.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        let elapsed = last.at.saturating_sub(first.at);
        if elapsed < RATE_WINDOW {
            return None;
        }
        let dequeued = (last.admitted - first.admitted) - (last.waiting - first.waiting);
        (dequeued >= JITTER).then(|| dequeued / elapsed.as_secs_f64())
    }

    /// Returns the expected queue latency of a request that arrives now, in seconds, and its basis. `stalled` is the
    /// time since the last completion if the model is stalled.
    pub(super) fn wait(
        &self,
        queue: &Queue,
        service: Option<f64>,
        stalled: Option<Duration>,
    ) -> (Option<f64>, Basis) {
        if queue.waiting <= 0.0 {
            return (Some(0.0), Basis::EmptyQueue);
        }
        let by_service = service
            .filter(|_| !queue.continuous_batching && queue.workers_ready > 0.0)
            .map(|seconds| queue.waiting * seconds / queue.slots());
        if let Some(stalled) = stalled {
            let min = stalled.as_secs_f64();
            return (Some(by_service.unwrap_or(min).max(min)), Basis::Stalled);
        }
        if let Some(rate) = self.rate() {
            return (Some(queue.waiting / rate), Basis::WaitingOverRate);
        }
        match by_service {
            Some(wait) => (Some(wait), Basis::WaitingTimesService),
            None => (None, Basis::Nothing),
        }
    }
}
