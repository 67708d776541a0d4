//! One model, followed from scrape to scrape.

use std::time::Duration;

use pushscale_protocol::Basis;

use super::answered::{Answered, CounterDeltas};
use super::departures::Departures;
use super::queued::{JITTER, Queued};
use super::refusals::RefusalShare;
use super::service_time::ServiceTime;
use crate::scrape::{Counters, Queue};

/// Nothing answered for this long, though requests wait, is a stall; or three service times, if that is more.
const STALL_AFTER: Duration = Duration::from_secs(2);

/// One model, followed from scrape to scrape.
#[derive(Clone, Debug)]
pub(super) struct ModelTracker {
    queued: Queued,
    answered: Answered,
    service: ServiceTime,
    departures: Departures,
    before: Option<Before>,
    progressed: Duration,
    progressed_with: Option<Mark>,
    stalled: bool,
    was_ready: bool,
}

/// How things stood when somebody was last seen to be answered.
#[derive(Clone, Copy, Debug)]
struct Mark {
    admitted: f64,
    pending: f64,
}

/// The counters at the last scrape.
#[derive(Clone, Copy, Debug)]
struct Before {
    at: Duration,
    arrivals: f64,
    wait: f64,
    sojourn: f64,
    admitted: f64,
    pending: Option<f64>,
    full: bool,
}

/// One scrape one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelScrape<'a> {
    pub(super) at: Duration,
    pub(super) counters: Counters,
    pub(super) queue: Option<&'a Queue>,
    /// Requests that were answered 5xx since the last scrape: this model's share of them.
    pub(super) failed: f64,
    /// The server has no other model, so that share is certain.
    pub(super) sole: bool,
    /// Somebody was answered whom the counters of answers may not show.
    pub(super) other_answers: bool,
}

/// What is concluded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) wait: Option<f64>,
    pub(super) basis: Basis,
    pub(super) refusing: bool,
    pub(super) service: Option<f64>,
    /// Turned away, cumulative since it was first seen.
    pub(super) refused: f64,
    /// Left after service, cumulative like that; in workers' hands now. `None`: nobody tells how many wait.
    pub(super) answered: Option<f64>,
    pub(super) in_service: Option<f64>,
    /// Its workers have been ready at some time, or nobody says whether they have.
    pub(super) warm: bool,
}

impl ModelTracker {
    /// A model seen first at `at`. `from_start`: its server process began under our eyes, so what its counters
    /// show is new.
    pub(super) fn new(at: Duration, from_start: bool) -> Self {
        Self {
            queued: Queued::default(),
            answered: if from_start {
                Answered::from_start()
            } else {
                Answered::default()
            },
            service: ServiceTime::default(),
            departures: if from_start {
                Departures::from_start()
            } else {
                Departures::default()
            },
            before: from_start.then_some(Before {
                at,
                arrivals: 0.0,
                wait: 0.0,
                sojourn: 0.0,
                admitted: 0.0,
                pending: None,
                full: false,
            }),
            progressed: at,
            progressed_with: None,
            stalled: false,
            was_ready: false,
        }
    }

    /// What speaks for this model having turned requests away since the last scrape.
    pub(super) fn refusal_share(
        &self,
        at: Duration,
        counters: Counters,
        queue: Option<&Queue>,
    ) -> RefusalShare {
        let Some((before, queue)) = self.before.zip(queue) else {
            return RefusalShare::default();
        };
        RefusalShare::new(
            counters.arrivals.unwrap_or_default() - before.arrivals,
            queue.pending - before.pending.unwrap_or_default(),
            at.saturating_sub(before.at),
            queue,
            before.full,
            self.service.seconds(),
        )
    }

    pub(super) fn observe(&mut self, seen: ModelScrape<'_>) -> Estimate {
        // A series that is not on a good page has not begun to count: here, and only here, absent is zero.
        let now = seen.counters;
        let arrivals = now.arrivals.unwrap_or_default();
        let wait = now.wait_seconds.unwrap_or_default();
        let sojourn = now.sojourn_seconds.unwrap_or_default();
        let full = seen.queue.is_some_and(|queue| queue.capacity_left <= 0.0);
        let before = self.before;

        let arrived = before.map_or(0.0, |before| arrivals - before.arrivals);
        let refused = match before {
            None => 0.0,
            Some(_) if seen.sole => seen.failed,
            Some(_) => seen.failed.min(arrived.max(0.0)),
        };
        let deltas = CounterDeltas {
            admitted: (arrived - refused).max(0.0),
            wait: before.map_or(0.0, |before| wait - before.wait),
            sojourn: before.map_or(0.0, |before| sojourn - before.sojourn),
        };
        let admitted = before.map_or(0.0, |before| before.admitted) + deltas.admitted;
        let pending = seen.queue.map(|queue| queue.pending);

        // Requests that left the queue since the last progress, by the queue's own length.
        let taken = self
            .progressed_with
            .zip(pending)
            .is_some_and(|(mark, pending)| {
                admitted - mark.admitted - (pending - mark.pending) >= JITTER
            });
        let gauge_moved = self
            .service
            .observe_gauge(now.service_seconds, deltas.sojourn > 0.0);
        if !self.service.has_gauge() && arrived > 0.0 && deltas.sojourn > 0.0 {
            self.observe_service_without_gauge(before, pending, arrived, deltas);
        }
        let progress = deltas.sojourn > 0.0 || taken || gauge_moved;
        let first_sight = pending.is_some() && self.progressed_with.is_none();
        if progress || pending == Some(0.0) || first_sight {
            self.note_progress(seen.at);
            self.progressed_with = pending.map(|pending| Mark { admitted, pending });
        }
        self.before = Some(Before {
            at: seen.at,
            arrivals,
            wait,
            sojourn,
            admitted,
            pending,
            full,
        });
        self.answered
            .observe(seen.at, deltas, self.service.seconds());
        let service = self.service.seconds();
        self.departures
            .observe(seen.at, arrived, refused, deltas, seen.queue, service);

        let (wait, basis) = match seen.queue {
            Some(queue) => self.wait_in(queue, seen.at, admitted),
            None => {
                let quiet = seen.at.saturating_sub(self.progressed);
                let foreign = seen.other_answers && deltas.sojourn <= 0.0;
                self.answered.wait(seen.at, quiet, self.patience(), foreign)
            }
        };
        Estimate {
            wait,
            basis,
            refusing: full || (seen.sole && seen.failed > 0.0),
            service: self.service.seconds(),
            refused: self.departures.refused(),
            answered: self.departures.answered(),
            in_service: self.departures.in_service(),
            warm: self.was_ready || seen.queue.is_none(),
        }
    }

    fn wait_in(&mut self, queue: &Queue, at: Duration, admitted: f64) -> (Option<f64>, Basis) {
        if queue.workers_ready > 0.0 {
            self.was_ready = true;
        }
        self.queued.observe(at, queue, admitted);
        if !self.was_ready {
            self.progressed = at;
            return (None, Basis::Nothing);
        }
        let quiet = at.saturating_sub(self.progressed);
        let stalled = (queue.pending > 0.0 && quiet > self.patience()).then_some(quiet);
        self.stalled = stalled.is_some();
        self.queued.wait(queue, self.service.seconds(), stalled)
    }

    fn note_progress(&mut self, at: Duration) {
        self.progressed = at;
        if self.stalled {
            // The rate of answers across a stall says nothing of the rate after it.
            self.stalled = false;
            self.queued.reset();
        }
    }

    /// Without a gauge of service times (`metrics_mode=legacy`): from the counters, while nobody waits, when
    /// arrivals and answers are the same requests.
    fn observe_service_without_gauge(
        &mut self,
        before: Option<Before>,
        pending: Option<f64>,
        arrived: f64,
        deltas: CounterDeltas,
    ) {
        let in_worker = deltas.sojourn - deltas.wait;
        let calm = match (before.and_then(|before| before.pending), pending) {
            (Some(then), Some(now)) => then <= 0.0 && now <= 0.0,
            _ => deltas.wait < 0.1 * deltas.sojourn,
        };
        if calm && in_worker > 0.0 {
            self.service.observe(in_worker / arrived);
        }
    }

    fn patience(&self) -> Duration {
        let services = Duration::try_from_secs_f64(3.0 * self.service.seconds().unwrap_or(0.0));
        services.unwrap_or(Duration::MAX).max(STALL_AFTER)
    }
}
