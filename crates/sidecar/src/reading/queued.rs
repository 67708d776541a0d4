//! The wait from the queue's length: early, right while a queue drains, right for gRPC and batching.

use std::collections::VecDeque;
use std::time::Duration;

use pushscale_protocol::Basis;

use crate::scrape::Queue;

/// The rate of answers is taken over this long. Shorter, and a queue of a few seconds' life scrapes back into the
/// idle time before it; longer, and it follows late.
const RATE_WINDOW: Duration = Duration::from_millis(2900);

/// The two ports are read a few milliseconds apart, and a request that arrives in between is in one number and
/// not in the other. Fewer departures than this are no departures: one phantom in three seconds made a stuck
/// queue of 18 scrape like one of 52 s.
pub(super) const JITTER: f64 = 1.5;

/// What the queue's length says.
#[derive(Clone, Debug, Default)]
pub(super) struct Queued {
    /// Looks since the queue was last empty, at most one of them older than the window.
    run: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Duration,
    pending: f64,
    /// Arrivals that were let in, cumulative.
    admitted: f64,
}

impl Queued {
    /// Forgets the past: it says nothing of the rate from now on.
    pub(super) fn reset(&mut self) {
        self.run.clear();
    }

    /// Takes one scrape. `admitted` is cumulative: arrivals that were not turned away.
    pub(super) fn observe(&mut self, at: Duration, queue: &Queue, admitted: f64) {
        if queue.pending <= 0.0 || queue.workers_ready <= 0.0 {
            self.run.clear();
            return;
        }
        self.run.push_back(Point {
            at,
            pending: queue.pending,
            admitted,
        });
        while self
            .run
            .get(1)
            .is_some_and(|next| at.saturating_sub(next.at) >= RATE_WINDOW)
        {
            self.run.pop_front();
        }
    }

    /// Answers a second, over a window at both ends of which requests waited.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.run.front()?, self.run.back()?);
        let elapsed = last.at.saturating_sub(first.at);
        if elapsed < RATE_WINDOW {
            return None;
        }
        let taken = (last.admitted - first.admitted) - (last.pending - first.pending);
        (taken >= JITTER).then(|| taken / elapsed.as_secs_f64())
    }

    /// The wait of a request that arrives now, in seconds. `stalled` is for how long nothing was answered, if
    /// that is too long.
    pub(super) fn wait(
        &self,
        queue: &Queue,
        service: Option<f64>,
        stalled: Option<Duration>,
    ) -> (Option<f64>, Basis) {
        if queue.pending <= 0.0 {
            return (Some(0.0), Basis::EmptyQueue);
        }
        let rough = service
            .filter(|_| !queue.continuous_batching && queue.workers_ready > 0.0)
            .map(|seconds| queue.pending * seconds / (queue.workers_ready * queue.batch_size));
        if let Some(stalled) = stalled {
            let least = stalled.as_secs_f64();
            return (Some(rough.unwrap_or(least).max(least)), Basis::Stalled);
        }
        if let Some(rate) = self.rate() {
            return (Some(queue.pending / rate), Basis::PendingOverRate);
        }
        match rough {
            Some(wait) => (Some(wait), Basis::PendingTimesService),
            None => (None, Basis::Nothing),
        }
    }
}
