//! Derives the number of completed requests, which TorchServe does not count: the arrivals that were not rejected and
//! are neither waiting nor in flight.
//!
//! The number of in-flight requests follows from those that leave the queue and from the responses, and never exceeds
//! what the workers can process. gRPC responses are not counted; Little's law then estimates the in-flight requests.

use std::time::Duration;

use crate::scrape::Queue;

use super::completed_wait::CounterDeltas;

/// Window, in seconds, of the mean number of busy workers; at least two service times. The counters attribute a request
/// of 8 s to the second in which it completes.
const BUSY_WINDOW: f64 = 3.0;

/// The responses are compared with the requests that left the queue over this many service times.
const COMPARED_SERVICES: f64 = 40.0;

/// Little's law corrects the number of in-flight requests. The correction takes as many service times as the service
/// time has seconds, from 1 to this. With a faster correction, a fleet with a service time of five minutes took 40%
/// more pods, because the times of completed requests show a change of the load one service time later. With a slower
/// one, the errors of single responses would add up to more than the few in-flight requests of a short service time.
const CORRECTED_SERVICES: f64 = 60.0;

/// Counts completed and rejected requests of one model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Departures {
    /// Arrivals since the first scrape.
    arrived: f64,
    rejected: f64,
    /// Requests in the server at the first scrape.
    initial: Option<f64>,
    completed: f64,
    in_flight: Option<f64>,
    /// Waiting requests at the last scrape.
    waiting: f64,
    /// The mean number of busy workers, from the times of completed requests.
    busy: f64,
    /// The mean arrivals per second, without rejected requests.
    rate: f64,
    /// Responses, and requests that left the queue, with a memory of [`COMPARED_SERVICES`].
    responses: f64,
    dequeued: f64,
    last: Option<Duration>,
}

/// What one scrape adds to the counts of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Increment {
    /// Requests that arrived, including rejected ones.
    pub(super) arrived: f64,
    /// 5xx responses.
    pub(super) rejected: f64,
    /// 2xx responses; `None` if the server does not count them.
    pub(super) responses: Option<f64>,
    /// The times of completed requests.
    pub(super) times: CounterDeltas,
    /// Whether the server has ever timed a request of the model. It times no gRPC requests.
    pub(super) has_timed: bool,
}

impl Increment {
    /// Arrivals that were not rejected; negative if an earlier one failed.
    fn admitted(&self) -> f64 {
        self.arrived - self.rejected
    }
}

impl Departures {
    /// Creates the state of a model. `from_start`: its server process was observed from the start, when it had no
    /// requests.
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            initial: from_start.then_some(0.0),
            in_flight: from_start.then_some(0.0),
            ..Self::default()
        }
    }

    /// Processes the next scrape, with the queue and the service time of a batch, in seconds.
    ///
    /// A failed request is counted at its response, which may be long after the scrape that counted its arrival. The
    /// difference is therefore taken between the totals, not for each scrape.
    pub(super) fn observe(
        &mut self,
        at: Duration,
        increment: Increment,
        queue: Option<&Queue>,
        service: Option<f64>,
    ) {
        let service = service.filter(|seconds| *seconds > 0.0);
        let window = BUSY_WINDOW.max(2.0 * service.unwrap_or_default());
        let elapsed = self.last.replace(at).map(|last| at.saturating_sub(last));
        let elapsed = elapsed.map_or(0.0, |elapsed| elapsed.as_secs_f64());
        self.arrived += increment.arrived;
        self.rejected += increment.rejected;
        if elapsed > 0.0 {
            let weight = (elapsed / window).min(1.0);
            self.busy += (increment.times.in_workers() / elapsed - self.busy) * weight;
            self.rate += (increment.admitted().max(0.0) / elapsed - self.rate) * weight;
        }
        let Some(queue) = queue else {
            self.in_flight = None;
            return;
        };
        let expected = self.by_littles_law(queue, service.unwrap_or_default());
        let slots = queue.slots();
        let dequeued = self.arrived - self.rejected - queue.waiting;
        let in_flight = match (self.in_flight, service) {
            // Nothing has completed yet: otherwise the workers would have taken more than they can process.
            (Some(before), None) if dequeued <= slots => {
                before + self.dequeued_since_last(&increment, queue)
            }
            (Some(before), Some(service)) if increment.has_timed => {
                before + self.change(&increment, queue, service, elapsed, expected - before)
            }
            _ => expected,
        };
        self.waiting = queue.waiting;
        // While requests wait, every worker is busy.
        let least = if queue.waiting > 0.0 {
            queue.workers_ready
        } else {
            0.0
        };
        let in_flight = in_flight.max(least).min(slots);
        self.in_flight = Some(in_flight);
        let present = queue.waiting + in_flight;
        let initial = *self.initial.get_or_insert(present);
        let completed = self.arrived - self.rejected + initial - present;
        // A bound may correct the estimate upwards, but a counter must not decrease.
        self.completed = self.completed.max(completed);
    }

    /// Returns by how much the requests in workers have changed in these seconds: those that left the queue minus those
    /// that completed. `surplus` is the number by which Little's law expects more of them.
    ///
    /// The workers cannot process more than their slots. If the requests that left the queue exceed the responses by
    /// more than that, some complete without a counted response (gRPC); if there are more responses, some do not belong
    /// to requests. The correction by Little's law then takes two service times.
    fn change(
        &mut self,
        increment: &Increment,
        queue: &Queue,
        service: f64,
        elapsed: f64,
        surplus: f64,
    ) -> f64 {
        let dequeued = self.dequeued_since_last(increment, queue);
        let by_time = || increment.times.in_workers() / service;
        let responses = increment.responses.unwrap_or_else(by_time);
        let services = elapsed / service;
        let kept = 1.0 - (services / COMPARED_SERVICES).min(1.0);
        self.responses = self.responses * kept + responses;
        self.dequeued = (self.dequeued * kept + dequeued).max(0.0);
        let most = queue.slots() + 1.0;
        let missing = self.dequeued - self.responses;
        let (completed, within) = if missing > most {
            (responses + dequeued * missing / self.dequeued, 2.0)
        } else if missing < -most {
            (responses * self.dequeued / self.responses, 2.0)
        } else {
            (responses, service.clamp(1.0, CORRECTED_SERVICES))
        };
        let change = dequeued - completed;
        change + (surplus - change) * (services / within).min(1.0)
    }

    /// Returns how many requests workers have taken from the queue since the last scrape.
    fn dequeued_since_last(&self, increment: &Increment, queue: &Queue) -> f64 {
        increment.admitted() - (queue.waiting - self.waiting)
    }

    /// Returns the number of requests that workers are expected to process: the work per second. If most of it is not
    /// timed, as with gRPC, this is the arrival rate times the service time.
    fn by_littles_law(&self, queue: &Queue, service: f64) -> f64 {
        let work = self.rate * service;
        // While requests wait, every worker is busy, but its batch may have begun with fewer requests than wait now.
        // Counting it as full made the requests of small fleets seem to take twice as long.
        if queue.waiting >= queue.batch_size {
            queue.slots()
        } else if queue.waiting > 0.0 {
            self.busy.max(work)
        } else if self.busy < work / 2.0 {
            work
        } else {
            self.busy
        }
    }

    /// 5xx responses, cumulative: rejected or failed requests.
    pub(super) fn rejected(&self) -> f64 {
        self.rejected
    }

    /// Completed requests, cumulative; `None` while the queue depth is unknown.
    pub(super) fn completed(&self) -> Option<f64> {
        self.in_flight.map(|_| self.completed)
    }

    /// Requests that workers are processing; `None` while the queue depth is unknown.
    pub(super) fn in_flight(&self) -> Option<f64> {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responses::Responses;

    /// A server with four workers, scraped once a second.
    #[derive(Default)]
    struct Server {
        departures: Departures,
        second: u64,
    }

    impl Server {
        fn after_one_request() -> Self {
            let mut server = Self {
                departures: Departures::new(true),
                second: 0,
            };
            server.next(0.0, 0.0, 0.0);
            server.next(1.0, 1.0, 1.0);
            for _ in 0..600 {
                server.next(0.0, 0.0, 0.0);
            }
            server
        }

        /// Simulates one second with these arrivals, completions and responses. Returns the requests in workers and
        /// the completed ones.
        fn next(&mut self, arrived: f64, completed: f64, responses: f64) -> (f64, f64) {
            self.second += 1;
            let queue = Queue {
                workers_ready: 4.0,
                batch_size: 1.0,
                ..Queue::default()
            };
            let increment = Increment {
                arrived,
                responses: Some(responses),
                has_timed: true,
                times: CounterDeltas {
                    sojourn: completed * SERVICE,
                    ..CounterDeltas::default()
                },
                ..Increment::default()
            };
            let at = Duration::from_secs(self.second);
            let departures = &mut self.departures;
            departures.observe(at, increment, Some(&queue), Some(SERVICE));
            let in_flight = departures.in_flight().unwrap();
            (in_flight, departures.completed().unwrap())
        }
    }

    /// A service time in seconds.
    const SERVICE: f64 = 60.0;

    /// Three requests arrive in an idle server, and complete a minute later.
    #[test]
    fn requests_are_in_flight_until_their_response() {
        let mut server = Server::after_one_request();
        server.next(3.0, 0.0, 0.0);
        let (in_flight, completed) = (0..59).map(|_| server.next(0.0, 0.0, 0.0)).last().unwrap();
        assert!((2.8..=3.0).contains(&in_flight), "{in_flight}");
        assert!((1.0..=1.2).contains(&completed), "{completed}");
        let (in_flight, completed) = server.next(0.0, 3.0, 3.0);
        assert!(in_flight < 0.1, "{in_flight}");
        assert!(completed > 3.9, "{completed}");
    }

    /// The response to a request that fails with a 4xx status is not counted.
    #[test]
    fn a_request_without_a_response_is_not_in_flight_for_ever() {
        let mut server = Server::after_one_request();
        let (in_flight, _) = server.next(1.0, 0.0, 0.0);
        assert!(in_flight > 0.9, "{in_flight}");
        let later = (0..14_400).map(|_| server.next(0.0, 0.0, 0.0)).last();
        let (in_flight, completed) = later.unwrap();
        assert!(in_flight < 0.1, "{in_flight}");
        assert!(completed > 1.9, "{completed}");
    }

    /// The responses to half of the requests are not counted, as with gRPC.
    #[test]
    fn requests_that_never_have_responses_complete_as_they_leave_the_queue() {
        let mut server = Server::default();
        let mut last = (0.0, 0.0);
        for second in 0..3600_u32 {
            // Four in a minute, which keep all workers busy.
            let starts = f64::from(u8::from(second % 15 == 0));
            let responds = f64::from(u8::from(second % 30 == 0));
            last = server.next(starts, responds, responds);
        }
        let (in_flight, completed) = last;
        assert!((1.5..=4.0).contains(&in_flight), "{in_flight}");
        assert!((236.0..=240.0).contains(&completed), "{completed}");
    }

    /// A server of short requests, one in two seconds by chance, is probed every five seconds.
    #[test]
    fn responses_to_probes_do_not_add_up_to_requests_in_flight() {
        let mut departures = Departures::new(true);
        let mut responses = Responses::default();
        let (mut random, mut most) = (1_u32, 0.0_f64);
        let queue = Queue {
            workers_ready: 4.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        for second in 0..36_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let completed = f64::from(random >> 31);
            let probes = f64::from(u8::from(second % 5 == 0));
            let at = Duration::from_secs(second.into());
            let counted =
                responses.count_request_responses(at, completed + probes, completed > 0.0);
            let increment = Increment {
                arrived: completed,
                responses: Some(counted),
                has_timed: true,
                times: CounterDeltas {
                    sojourn: completed * 0.1,
                    ..CounterDeltas::default()
                },
                ..Increment::default()
            };
            departures.observe(at, increment, Some(&queue), Some(0.1));
            most = most.max(departures.in_flight().unwrap());
        }
        assert!(most < 0.5, "{most}");
    }

    /// Without timed requests (gRPC) and a service time, a server of four workers that took more has completed some.
    #[test]
    fn requests_of_unknown_duration_are_not_in_flight_for_ever() {
        let mut departures = Departures::new(true);
        let queue = Queue {
            workers_ready: 4.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        for second in 0..5 {
            let increment = Increment {
                arrived: 1.0,
                ..Increment::default()
            };
            departures.observe(Duration::from_secs(second), increment, Some(&queue), None);
        }
        assert_eq!(departures.in_flight(), Some(0.0));
    }
}
