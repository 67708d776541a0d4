//! Derives the estimates of one model from consecutive scrapes.

use std::borrow::Cow;
use std::time::Duration;

use pushscale_protocol::{Basis, Model};

use super::completed_wait::{CompletedWait, CounterDeltas};
use super::departures::{Departures, Increment};
use super::queue_wait::{JITTER, QueueWait};
use super::rejections::RejectionShare;
use super::service_time::ServiceTime;
use crate::scrape::{Counters, Queue};

/// A model with waiting requests is stalled after this long without a completion; at least three service times.
const STALL_AFTER: Duration = Duration::from_secs(2);

/// Derives the estimates of one model from consecutive scrapes.
#[derive(Clone, Debug, Default)]
pub struct ModelTracker {
    queue_wait: QueueWait,
    completed_wait: CompletedWait,
    service: ServiceTime,
    departures: Departures,
    before: Option<Before>,
    last_progress: Duration,
    progress_mark: Option<ProgressMark>,
    stalled: bool,
    was_ready: bool,
    /// Kept while the management port does not respond, because the gauge still shows steps.
    continuous_batching: bool,
}

/// The counts at the last progress.
#[derive(Clone, Copy, Debug)]
struct ProgressMark {
    admitted: f64,
    waiting: f64,
}

/// The counters at the last scrape.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    at: Duration,
    arrivals: f64,
    wait: f64,
    sojourn: f64,
    admitted: f64,
    waiting: Option<f64>,
    full: bool,
}

/// What one scrape shows of one model.
#[derive(Clone, Copy, Debug)]
pub struct ModelScrape<'a> {
    /// The time of the scrape.
    pub at: Duration,
    /// The model's counters.
    pub counters: Counters,
    /// The model's queue, if the management port is scraped.
    pub queue: Option<&'a Queue>,
    /// This model's share of the 5xx responses since the last scrape.
    pub failed: f64,
    /// This model's share of the 2xx responses to requests since the last scrape; `None` if the server does not count
    /// responses.
    pub responses: Option<f64>,
    /// Whether the server has no other model, so that the share is exact.
    pub sole: bool,
    /// Whether there were completions that this model's counters may not include.
    pub other_completions: bool,
}

/// The estimates of one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Expected queue latency, in seconds.
    pub wait: Option<f64>,
    /// What the expected queue latency is computed from.
    pub basis: Basis,
    /// Whether the queue is full or requests failed.
    pub rejecting: bool,
    /// The mean service time of a batch, in seconds.
    pub service: Option<f64>,
    /// Rejected or failed requests, cumulative since the model was first seen.
    pub rejected: f64,
    /// Completed requests, cumulative since the model was first seen; `None` if the queue depth is unknown.
    pub completed: Option<f64>,
    /// Requests that workers are processing; `None` if the queue depth is unknown.
    pub in_flight: Option<f64>,
    /// Whether its workers were ready at some time, or their state is unknown.
    pub warm: bool,
    /// Whether it used continuous batching when its queue was last known. The service time is then that of a step.
    pub continuous_batching: bool,
}

impl Estimate {
    /// Returns the model of a push message with these estimates, and with the counters and the queue of the scrape.
    pub fn into_model<'a>(
        self,
        name: Cow<'a, str>,
        counters: &Counters,
        queue: Option<&Queue>,
    ) -> Model<'a> {
        Model {
            name,
            queue_latency_seconds: self.wait,
            basis: self.basis,
            rejecting: self.rejecting,
            arrivals_total: counters.arrivals,
            rejected_total: Some(self.rejected),
            completed_total: self.completed,
            wait_seconds_total: counters.wait_seconds,
            sojourn_seconds_total: counters.sojourn_seconds,
            waiting: queue.map(|queue| queue.waiting),
            in_flight: self.in_flight,
            capacity_left: queue.map(|queue| queue.capacity_left),
            workers_ready: queue.map(|queue| queue.workers_ready),
            batch_size: queue.map(|queue| queue.batch_size),
            batch_delay_seconds: queue.map(|queue| queue.batch_delay_seconds),
            service_seconds: self.service,
            continuous_batching: self.continuous_batching,
        }
    }
}

impl ModelTracker {
    /// Tracks a model that was first seen at `at`. `from_start`: its server process was observed from the start, so its
    /// counters contain only new requests.
    pub fn new(at: Duration, from_start: bool) -> Self {
        Self {
            completed_wait: CompletedWait::new(from_start),
            departures: Departures::new(from_start),
            before: from_start.then(|| Before {
                at,
                ..Before::default()
            }),
            last_progress: at,
            ..Self::default()
        }
    }

    /// Returns the evidence that this model rejected requests since the last scrape.
    pub(crate) fn rejection_share(
        &self,
        at: Duration,
        counters: Counters,
        queue: Option<&Queue>,
    ) -> RejectionShare {
        let Some((before, queue)) = self.before.zip(queue) else {
            return RejectionShare::default();
        };
        RejectionShare::new(
            counters.arrivals.unwrap_or_default() - before.arrivals,
            queue.waiting - before.waiting.unwrap_or_default(),
            at.saturating_sub(before.at),
            queue,
            before.full,
            self.service.seconds(),
        )
    }

    /// Returns about how many requests have completed since the last scrape, by their time in workers.
    pub(crate) fn completed_by_time(&self, counters: Counters) -> f64 {
        let in_workers = self.deltas(counters, 0.0).in_workers();
        self.service
            .seconds()
            .filter(|seconds| *seconds > 0.0)
            .map_or(in_workers, |seconds| in_workers / seconds)
    }

    /// Returns by how much the sums of times have grown since the last scrape, after which `admitted` requests arrived.
    fn deltas(&self, counters: Counters, admitted: f64) -> CounterDeltas {
        let Some(before) = self.before else {
            return CounterDeltas {
                admitted,
                ..CounterDeltas::default()
            };
        };
        CounterDeltas {
            admitted,
            wait: counters.wait_seconds.unwrap_or_default() - before.wait,
            sojourn: counters.sojourn_seconds.unwrap_or_default() - before.sojourn,
        }
    }

    /// Processes the next scrape.
    pub fn observe(&mut self, scrape: ModelScrape<'_>) -> Estimate {
        // A series that a valid page lacks has no events yet: here, and only here, absent is zero.
        let now = scrape.counters;
        let arrivals = now.arrivals.unwrap_or_default();
        let wait = now.wait_seconds.unwrap_or_default();
        let sojourn = now.sojourn_seconds.unwrap_or_default();
        let full = scrape.queue.is_some_and(|queue| queue.capacity_left <= 0.0);
        if let Some(queue) = scrape.queue {
            self.continuous_batching = queue.continuous_batching;
        }
        let before = self.before;

        let arrived = before.map_or(0.0, |before| arrivals - before.arrivals);
        let rejected = match before {
            None => 0.0,
            Some(_) if scrape.sole => scrape.failed,
            Some(_) => scrape.failed.min(arrived.max(0.0)),
        };
        let deltas = self.deltas(now, (arrived - rejected).max(0.0));
        let admitted = before.map_or(0.0, |before| before.admitted) + deltas.admitted;
        let waiting = scrape.queue.map(|queue| queue.waiting);

        // Whether requests left the queue since the last progress, according to its depth.
        let dequeued = self
            .progress_mark
            .zip(waiting)
            .is_some_and(|(mark, waiting)| {
                admitted - mark.admitted - (waiting - mark.waiting) >= JITTER
            });
        let gauge_changed = self
            .service
            .observe_gauge(now.service_seconds, deltas.sojourn > 0.0);
        if !self.service.has_gauge() && arrived > 0.0 && deltas.sojourn > 0.0 {
            self.observe_service_without_gauge(before, waiting, arrived, deltas);
        }
        let progress = deltas.sojourn > 0.0 || dequeued || gauge_changed;
        let first_queue = waiting.is_some() && self.progress_mark.is_none();
        if progress || waiting == Some(0.0) || first_queue {
            self.note_progress(scrape.at);
            self.progress_mark = waiting.map(|waiting| ProgressMark { admitted, waiting });
        }
        self.before = Some(Before {
            at: scrape.at,
            arrivals,
            wait,
            sojourn,
            admitted,
            waiting,
            full,
        });
        self.completed_wait
            .observe(scrape.at, deltas, self.service.seconds());
        let service = self.service.mean();
        let increment = Increment {
            arrived,
            rejected,
            responses: scrape.responses,
            times: deltas,
            has_timed: now.sojourn_seconds.is_some(),
        };
        self.departures
            .observe(scrape.at, increment, scrape.queue, service);

        let (wait, basis) = match scrape.queue {
            Some(queue) => self.wait_in(queue, scrape.at, admitted),
            None => {
                let idle = scrape.at.saturating_sub(self.last_progress);
                let uncounted = scrape.other_completions && deltas.sojourn <= 0.0;
                self.completed_wait
                    .wait(scrape.at, idle, self.stall_after(), uncounted)
            }
        };
        Estimate {
            wait,
            basis,
            rejecting: full || (scrape.sole && scrape.failed > 0.0),
            service: self.service.mean(),
            rejected: self.departures.rejected(),
            completed: self.departures.completed(),
            in_flight: self.departures.in_flight(),
            warm: self.was_ready || scrape.queue.is_none(),
            continuous_batching: self.continuous_batching,
        }
    }

    fn wait_in(&mut self, queue: &Queue, at: Duration, admitted: f64) -> (Option<f64>, Basis) {
        if queue.workers_ready > 0.0 {
            self.was_ready = true;
        }
        self.queue_wait.observe(at, queue, admitted);
        if !self.was_ready {
            self.last_progress = at;
            return (None, Basis::Nothing);
        }
        let idle = at.saturating_sub(self.last_progress);
        let stalled = (queue.waiting > 0.0 && idle > self.stall_after()).then_some(idle);
        self.stalled = stalled.is_some();
        self.queue_wait.wait(queue, self.service.seconds(), stalled)
    }

    fn note_progress(&mut self, at: Duration) {
        self.last_progress = at;
        if self.stalled {
            // The completion rate across a stall does not predict the rate after it.
            self.stalled = false;
            self.queue_wait.reset();
        }
    }

    /// Derives the service time from the counters if there is no gauge (`metrics_mode=legacy`). While no requests wait,
    /// arrivals and completions are the same requests.
    fn observe_service_without_gauge(
        &mut self,
        before: Option<Before>,
        waiting: Option<f64>,
        arrived: f64,
        deltas: CounterDeltas,
    ) {
        let in_workers = deltas.in_workers();
        let no_queue = match (before.and_then(|before| before.waiting), waiting) {
            (Some(then), Some(now)) => then <= 0.0 && now <= 0.0,
            _ => deltas.wait < 0.1 * deltas.sojourn,
        };
        if no_queue && in_workers > 0.0 {
            self.service.observe(in_workers / arrived);
        }
    }

    fn stall_after(&self) -> Duration {
        let services = Duration::try_from_secs_f64(3.0 * self.service.seconds().unwrap_or(0.0));
        services.unwrap_or(Duration::MAX).max(STALL_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuous_batching_is_remembered_while_the_queue_is_unknown() {
        let queue = Queue {
            workers_ready: 1.0,
            continuous_batching: true,
            ..Queue::default()
        };
        let mut tracker = ModelTracker::new(Duration::ZERO, true);
        let mut scrape = |seconds, queue| {
            let estimate = tracker.observe(ModelScrape {
                at: Duration::from_secs(seconds),
                counters: Counters::default(),
                queue,
                failed: 0.0,
                responses: None,
                sole: true,
                other_completions: false,
            });
            estimate.continuous_batching
        };
        assert!(!scrape(0, None));
        assert!(scrape(1, Some(&queue)));
        assert!(scrape(2, None));
        assert!(!scrape(3, Some(&Queue::default())));
    }
}
