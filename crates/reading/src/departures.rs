//! Derives the number of completed requests, which TorchServe does not count: the arrivals that were not rejected and
//! are neither waiting nor in flight.

use std::time::Duration;

use crate::scrape::Queue;

use super::completed_wait::CounterDeltas;

/// Window, in seconds, of the mean number of busy workers while the queue is empty; at least two service times. The
/// counters attribute a request of 8 s to the second in which it completes.
const BUSY_WINDOW: f64 = 3.0;

/// Counts completed and rejected requests of one model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Departures {
    /// Arrivals since the first scrape.
    arrived: f64,
    rejected: f64,
    /// Requests in the server at the first scrape.
    initial: Option<f64>,
    completed: f64,
    in_service: Option<f64>,
    /// The mean number of busy workers by the times of completed requests.
    busy: f64,
    /// The mean arrivals per second, without rejected requests.
    rate: f64,
    last: Option<Duration>,
}

impl Departures {
    /// Creates the state of a model. `from_start`: its server process was observed from the start, when it had no
    /// requests.
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            initial: from_start.then_some(0.0),
            ..Self::default()
        }
    }

    /// Processes the next scrape: the requests that arrived and the 5xx responses since the last one, the queue, and
    /// the service time of a batch, in seconds.
    ///
    /// A failed request is counted at its response, which may be long after the scrape that counted its arrival. So the
    /// difference is of the totals, not of each scrape.
    pub(super) fn observe(
        &mut self,
        at: Duration,
        arrived: f64,
        rejected: f64,
        deltas: CounterDeltas,
        queue: Option<&Queue>,
        service: Option<f64>,
    ) {
        self.arrived += arrived;
        self.rejected += rejected;
        let elapsed = self.last.map(|last| at.saturating_sub(last).as_secs_f64());
        self.last = Some(at);
        if let Some(elapsed) = elapsed.filter(|elapsed| *elapsed > 0.0) {
            let window = BUSY_WINDOW.max(2.0 * service.unwrap_or_default());
            let busy = (deltas.sojourn - deltas.wait).max(0.0) / elapsed;
            let weight = (elapsed / window).min(1.0);
            self.busy += (busy - self.busy) * weight;
            self.rate += ((arrived - rejected).max(0.0) / elapsed - self.rate) * weight;
        }
        let Some(queue) = queue else {
            self.in_service = None;
            return;
        };
        let slots = queue.workers_ready * queue.batch_size;
        // Little's law: work per second. If most of it is not timed, as with gRPC, it is the arrivals times the service
        // time.
        let work = self.rate * service.unwrap_or_default();
        let busy = if self.busy < work / 2.0 {
            work
        } else {
            self.busy
        };
        // While requests wait, every worker is busy, but its batch may have begun with fewer requests than wait now.
        // Counting it as full made the requests of few pods seem to take twice as long.
        let in_service = if queue.pending >= queue.batch_size {
            slots
        } else if queue.pending > 0.0 {
            self.busy.max(work).max(queue.workers_ready).min(slots)
        } else {
            busy.min(slots)
        };
        self.in_service = Some(in_service);
        let present = queue.pending + in_service;
        let initial = *self.initial.get_or_insert(present);
        let completed = self.arrived - self.rejected + initial - present;
        // The estimate of busy workers fluctuates, but a counter must not decrease.
        self.completed = self.completed.max(completed);
    }

    /// 5xx responses, cumulative: rejected or failed requests.
    pub(super) fn rejected(&self) -> f64 {
        self.rejected
    }

    /// Completed requests, cumulative; `None` while the queue depth is unknown.
    pub(super) fn completed(&self) -> Option<f64> {
        self.in_service.map(|_| self.completed)
    }

    /// Requests that workers are processing; `None` while the queue depth is unknown.
    pub(super) fn in_service(&self) -> Option<f64> {
        self.in_service
    }
}
