//! How many requests left, of which TorchServe keeps no count: those that arrived, were not turned away, and are no
//! longer there.

use std::time::Duration;

use crate::scrape::Queue;

use super::answered::CounterDeltas;

/// The busy workers of an empty queue are averaged over this long, or over two service times if that is more: a
/// request of 8 s is booked as 8 s of work in the second in which it ends.
const AVERAGED_OVER: f64 = 3.0;

/// Counts departures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Departures {
    /// Since the first scrape.
    arrived: f64,
    refused: f64,
    /// Requests in the server when counting began.
    at_first: Option<f64>,
    answered: f64,
    in_service: Option<f64>,
    busy: f64,
    last: Option<Duration>,
}

impl Departures {
    /// The server process began under our eyes, and nobody was in it.
    pub(super) fn from_start() -> Self {
        Self {
            at_first: Some(0.0),
            ..Self::default()
        }
    }

    /// Takes one scrape: the queue as it is, the time that a batch takes, in seconds, and since the last scrape the
    /// requests that arrived and those that were answered 5xx.
    ///
    /// A request that fails is counted when it is answered, which may be long after the scrape in which it arrived.
    /// So the two are set off against each other over all time and not scrape by scrape.
    pub(super) fn observe(
        &mut self,
        at: Duration,
        arrived: f64,
        refused: f64,
        deltas: CounterDeltas,
        queue: Option<&Queue>,
        service: Option<f64>,
    ) {
        self.arrived += arrived;
        self.refused += refused;
        let elapsed = self.last.map(|last| at.saturating_sub(last).as_secs_f64());
        self.last = Some(at);
        if let Some(elapsed) = elapsed.filter(|elapsed| *elapsed > 0.0) {
            let over = AVERAGED_OVER.max(2.0 * service.unwrap_or_default());
            let now = (deltas.sojourn - deltas.wait).max(0.0) / elapsed;
            self.busy += (now - self.busy) * (elapsed / over).min(1.0);
        }
        let Some(queue) = queue else {
            self.in_service = None;
            return;
        };
        let hands = queue.workers_ready * queue.batch_size;
        // While requests wait every worker is busy; otherwise so many are as there is work a second (Little).
        let in_service = if queue.pending > 0.0 {
            hands
        } else {
            self.busy.min(hands)
        };
        self.in_service = Some(in_service);
        let there = queue.pending + in_service;
        let at_first = *self.at_first.get_or_insert(there);
        let answered = self.arrived - self.refused + at_first - there;
        // The estimate of busy workers deltas both ways; a count does not.
        self.answered = self.answered.max(answered);
    }

    /// Requests answered 5xx, cumulative: turned away, or failed.
    pub(super) fn refused(&self) -> f64 {
        self.refused
    }

    /// Requests that left after service, cumulative; `None`: not known now.
    pub(super) fn answered(&self) -> Option<f64> {
        self.in_service.map(|_| self.answered)
    }

    /// Requests that workers have in hand; `None`: not known now.
    pub(super) fn in_service(&self) -> Option<f64> {
        self.in_service
    }
}
