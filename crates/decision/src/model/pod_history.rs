//! The counters of one pod for one model, from reading to reading.

use std::time::Duration;

use crate::latency::Latency;
use crate::moment::Moment;
use crate::reading::{Counters, ModelReading, Queue};
use crate::snapshot::visit;

use super::counts::Delta;
use super::evidence::{MANY_REQUESTS, SETTLE_SECONDS};
use super::pod_balance::PodWork;
use super::warm_up::WarmUp;
use crate::numbers::to_f32;

/// A pod that has not completed its first requests counts as starting for this long, in seconds, and is not slow.
const STARTING_SECONDS: f64 = 60.0;

/// A pod without a reading for longer than this, and for longer than a reading is fresh, may have been frozen. The
/// times of its in-flight requests then contain the pause. Two pods that resumed after five minutes raised a service
/// time from 0.1 s to 3.4 s, and the proposal from 7 to 200 pods.
const FROZEN_AFTER: Duration = Duration::from_secs(5);

/// A pod hung if all its workers completed nothing for this multiple of the service time, and for at least as long as
/// a frozen pod. One of six that resumed after three minutes raised the service time from 0.09 s to 1.5 s, and the
/// replicas from 6 to 146. With long-tailed requests (coefficient of variation 2), 2% of the work is in longer ones.
const HUNG_SERVICES: f64 = 30.0;

/// A pod may be saturated if the requests that wait in it are at least this multiple of those that it processes in
/// parallel, and at least this number. The last request before the queue drained and the first one after it distort
/// the throughput of shorter queues.
const SATURATED_FACTOR: f64 = 2.0;
const MIN_SATURATED_WAITING: f64 = 8.0;

/// The waits are known although requests wait if this multiple of them has completed since the queue was last empty.
/// The queue of 100 of a model of 5 ms was full for half an hour. A fleet whose requests were mostly gRPC waited for it
/// to become empty, kept its only pod, and rejected nine of ten requests.
const KNOWN_WAIT_FACTOR: f64 = 10.0;

/// The counters of a server without requests.
const NO_REQUESTS: Counters = Counters {
    arrivals: 0,
    rejected: 0,
    completed: Some(0),
    total_wait: Duration::ZERO,
    total_sojourn: Duration::ZERO,
};

/// The last counters of a pod, and values derived from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodHistory {
    last: Option<(Moment, Counters)>,
    /// Whether the counts of the next reading are the starting point even if the pod is new.
    is_restart: bool,
    /// The second that its last counts went into.
    pub(crate) bucket: u64,
    warm_up: WarmUp,
    /// Its own service time: the completed requests that it averages, and their mean in seconds.
    own_completed: f32,
    own_service: f32,
    /// The time of its workers since it last completed a request, in request-seconds.
    stalled: f64,
    /// What it has served and received lately.
    pub(crate) work: PodWork,
    /// The time of all workers since the pod became saturated or last completed a request, in request-seconds.
    saturated: f64,
    /// When the pod was last saturated.
    saturated_at: Option<Moment>,
    /// What the server timed since the queue was last empty.
    since_empty: Timed,
    /// Waiting and in-flight requests; 0 if unknown.
    pub(crate) in_system: f32,
    /// What its last reading contains about the model, so that a decision does not search the readings of all pods.
    pub(crate) reported: Option<Reported>,
}

visit!(PodHistory: last, is_restart, bucket, warm_up, own_completed, own_service, stalled, work, saturated, saturated_at,
    since_empty, in_system, reported);

/// What a reading contains about one model, in the form that a decision sums up. Times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported {
    pub(crate) wait: Option<f64>,
    pub(crate) service: Option<f64>,
    pub(crate) queue: Option<Queue>,
    pub(crate) batch_delay: f64,
    /// Whether completed requests are counted.
    pub(crate) counts: bool,
}

visit!(Reported: wait, service, queue, batch_delay, counts);

impl Reported {
    fn new(reading: &ModelReading) -> Self {
        let counters = reading.counters;
        Self {
            wait: reading.queue_latency.map(Latency::as_secs_f64),
            service: reading.service_time.map(|service| service.as_secs_f64()),
            queue: reading.queue,
            batch_delay: reading
                .queue
                .map_or(0.0, |queue| queue.batch_delay.as_secs_f64()),
            counts: counters.is_some_and(|counters| counters.completed.is_some()),
        }
    }
}

impl Timed {
    pub(crate) fn add(&mut self, other: Self) {
        self.timed += other.timed;
        self.observed += other.observed;
        self.busy += other.busy;
        self.completed += other.completed;
    }
}

/// The counts that a reading adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Increment {
    pub(crate) from: Moment,
    pub(crate) to: Moment,
    pub(crate) delta: Delta,
    /// Whether a request completed, including those that the delta leaves out.
    pub(crate) has_completed: bool,
    /// The throughput, if the pod was saturated.
    pub(crate) saturated: Option<Saturated>,
    /// How much of the requests' time the server timed.
    pub(crate) timed: Timed,
}

/// Request-seconds: those that the server timed, and those that the queue and the workers show. TorchServe does not
/// time gRPC requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timed {
    pub(crate) timed: f64,
    pub(crate) observed: f64,
    /// The time that requests spent in workers, in request-seconds.
    pub(crate) busy: f64,
    pub(crate) completed: f64,
}

visit!(Timed: timed, observed, busy, completed);

/// What a pod completed while all its workers were busy without a break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Saturated {
    /// The time of all workers, in request-seconds: as many as the pod processes in parallel, times the interval.
    pub(crate) busy: f64,
    pub(crate) completed: f64,
}

impl PodHistory {
    /// Makes the counts of the next reading the starting point, whatever was counted before.
    pub(crate) fn restart(&mut self) {
        self.last = None;
        self.is_restart = true;
    }

    /// Records a reading and returns what it adds.
    ///
    /// `fresh_for` is how long a reading is fresh. `counts_since` is the time since which all counts of the pod are
    /// new, if its start was observed. `service` is the fleet's service time in seconds, if known.
    pub(crate) fn update(
        &mut self,
        taken: Moment,
        fresh_for: Duration,
        reading: Option<&ModelReading>,
        counts_since: Option<Moment>,
        service: Option<f64>,
    ) -> Option<Increment> {
        let mut queue_before = self.queue();
        self.reported = reading.map(Reported::new);
        let in_system = self
            .queue()
            .map_or(0, |queue| queue.waiting.saturating_add(queue.in_flight))
            as f32;
        self.in_system = in_system;
        // A valid metrics page without the series of a model means no requests. Only here does absent mean zero.
        let mut now = match reading {
            Some(reading) => reading.counters.unwrap_or_default(),
            None => NO_REQUESTS,
        };
        let counts_since = counts_since.filter(|_| !self.is_restart);
        self.is_restart = false;
        // Without a previous reading, counts of an unknown age are the starting point.
        let before = self.last.or(counts_since.map(|since| (since, NO_REQUESTS)));
        let Some((from, before)) = before else {
            self.last = Some((taken, now));
            return None;
        };
        let elapsed = taken.since(from);
        let was_frozen = elapsed > fresh_for.max(FROZEN_AFTER);
        // TorchServe counts no completed requests, and the sidecar's estimate may follow seconds after their times.
        // Times without a completed request made requests of 1 s look three times as long: a new aggregator ordered up
        // to 19 times the pods that the model needed.
        let is_uncounted = before.completed.is_some() && before.completed == now.completed;
        if is_uncounted && !was_frozen && !has_restarted(&before, &now) {
            (now.total_wait, now.total_sojourn) = (before.total_wait, before.total_sojourn);
        }
        self.last = Some((taken, now));
        let mut delta = delta_between(&before, &now);
        if before.completed.is_none() || now.completed.is_none() {
            // The times in a worker include the requests that are not counted; divided by the service time they yield
            // the number of requests.
            let measured = reading.and_then(|reading| reading.service_time);
            let service = measured.map(|time| time.as_secs_f64()).or(service);
            delta.completed = service.map_or(0.0, |service| delta.served / service.max(1e-6));
        }
        let has_completed = delta.completed > 0.0;
        let elapsed = elapsed.as_secs_f64();
        let was_hung = self.was_hung(queue_before, &delta, elapsed, service);
        if was_frozen || was_hung {
            self.warm_up = WarmUp::default();
            delta.clear_completed();
            queue_before = None;
        }
        let saturated = self.saturation(queue_before, delta.completed, elapsed);
        let timed = self.timed(taken, queue_before, &delta, saturated, elapsed);
        let completed = delta.completed;
        let is_warm = self.leave_out_warm_up(taken, &mut delta, service);
        self.work.learn_arrivals(delta.arrivals, elapsed);
        // Its first requests load and compile the model. A pod that completes none for longer hangs.
        let is_starting = self.warm_up.has_first_requests()
            && counts_since
                .is_some_and(|since| taken.since(since).as_secs_f64() < STARTING_SECONDS);
        if let (Some(before), Some(now), Some(service)) = (queue_before, self.queue(), service)
            && is_warm
            && !is_starting
            // One that has completed nothing still loads the model, for however long.
            && (now.workers > 0 || self.warm_up.completed > 0)
        {
            let busy = busy(before, now, elapsed);
            self.work.learn_work(busy, completed, now.slots(), service);
        }
        (taken > from).then_some(Increment {
            from,
            to: taken,
            delta,
            has_completed,
            saturated,
            timed,
        })
    }

    /// Returns whether the completed requests are the first ones after a pause: their times contain it.
    fn was_hung(
        &mut self,
        before: Option<Queue>,
        delta: &Delta,
        elapsed: f64,
        service: Option<f64>,
    ) -> bool {
        let (Some(before), Some(now)) = (before, self.queue()) else {
            self.stalled = 0.0;
            return false;
        };
        if delta.completed <= 0.0 {
            self.stalled += busy(before, now, elapsed);
            return false;
        }
        let pause =
            service.map(|service| (HUNG_SERVICES * service).max(FROZEN_AFTER.as_secs_f64()));
        let stalled = std::mem::take(&mut self.stalled);
        pause.is_some_and(|pause| stalled > pause * f64::from(now.slots()))
    }

    /// Returns the request-seconds that the server timed, and all of them.
    ///
    /// A saturated pod shows the time in workers. Otherwise the queue shows the waits by Little's law, from one empty
    /// queue to the next or to one that is short compared with the requests since, and not soon after a saturation: the
    /// server times a wait when the request completes.
    fn timed(
        &mut self,
        taken: Moment,
        before: Option<Queue>,
        delta: &Delta,
        saturated: Option<Saturated>,
        elapsed: f64,
    ) -> Timed {
        let (Some(before), Some(now)) = (before, self.queue()) else {
            return Timed::default();
        };
        if self.saturated > 0.0 || saturated.is_some() {
            self.saturated_at = Some(taken);
            self.since_empty = Timed::default();
            return saturated.map_or(Timed::default(), |saturated| Timed {
                timed: delta.served,
                observed: saturated.busy,
                busy: saturated.busy,
                completed: saturated.completed,
            });
        }
        let settled = |at: Moment| taken.since(at).as_secs_f64() > SETTLE_SECONDS;
        if !self.saturated_at.is_none_or(settled) {
            return Timed::default();
        }
        let waiting = f64::from(before.waiting) + f64::from(now.waiting);
        self.since_empty.add(Timed {
            timed: delta.waited,
            observed: waiting / 2.0 * elapsed,
            busy: busy(before, now, elapsed),
            completed: delta.completed,
        });
        if self.since_empty.completed < KNOWN_WAIT_FACTOR * f64::from(now.waiting) {
            return Timed::default();
        }
        let sum = std::mem::take(&mut self.since_empty);
        // Each reading is one sample of the queue, however long its interval. Weighted with 10 s, one sample of an
        // unusual queue made requests that were all timed look untimed.
        let samples = elapsed.max(1.0);
        Timed {
            timed: sum.timed / samples,
            observed: sum.observed / samples,
            ..sum
        }
    }

    /// Returns the throughput at full load.
    ///
    /// If no more requests completed than had been waiting, each was replaced by one of them, so no worker was idle.
    fn saturation(
        &mut self,
        before: Option<Queue>,
        completed: f64,
        elapsed: f64,
    ) -> Option<Saturated> {
        let slots = before.map_or(0.0, |queue| f64::from(queue.slots()));
        let waiting = before.map_or(0.0, |queue| f64::from(queue.waiting));
        if waiting
            < (SATURATED_FACTOR * slots)
                .max(MIN_SATURATED_WAITING)
                .max(completed)
        {
            self.saturated = 0.0;
            return None;
        }
        self.saturated += slots * elapsed;
        (completed > 0.0).then(|| Saturated {
            busy: std::mem::take(&mut self.saturated),
            completed,
        })
    }

    /// Leaves out the requests of the warm-up, and updates the pod's own service time. Returns whether the warm-up has
    /// ended, or no request completed.
    fn leave_out_warm_up(
        &mut self,
        taken: Moment,
        delta: &mut Delta,
        service: Option<f64>,
    ) -> bool {
        if delta.completed <= 0.0 {
            return true;
        }
        // Full batches take longer than the mean one.
        let is_batched = self.queue().is_some_and(|queue| queue.batch_size > 1);
        if !self
            .warm_up
            .learn(taken, delta, service.filter(|_| !is_batched))
        {
            delta.clear_completed();
            return false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a few requests")]
        let (completed, mean) = (
            delta.completed as f32,
            (delta.served / delta.completed) as f32,
        );
        self.own_completed = (self.own_completed + completed).min(to_f32(MANY_REQUESTS));
        self.own_service += (mean - self.own_service) * (completed / self.own_completed).min(1.0);
        true
    }

    /// Returns whether its first requests are left out.
    pub(crate) fn warms_up(&self, now: Moment) -> bool {
        self.warm_up.is_running(now)
    }

    /// Returns the queue in its last reading.
    pub(crate) fn queue(&self) -> Option<Queue> {
        self.reported?.queue
    }

    /// Discards its own service time, which is then measured from new requests only.
    pub(crate) fn forget_own_service(&mut self) {
        (self.own_completed, self.own_service) = (0.0, 0.0);
    }

    /// Returns its own service time in seconds, once it averages enough requests.
    pub(crate) fn own_service(&self) -> Option<f32> {
        (f64::from(self.own_completed) >= MANY_REQUESTS).then_some(self.own_service)
    }
}

/// Returns the time of the workers between two queues, in request-seconds.
fn busy(before: Queue, now: Queue, elapsed: f64) -> f64 {
    (before.busy() + now.busy()) / 2.0 * elapsed
}

/// Returns the counts between `before` and `now`. If any counter decreased, the server restarted and all of `now` is
/// new.
fn delta_between(before: &Counters, now: &Counters) -> Delta {
    let before = if has_restarted(before, now) {
        &NO_REQUESTS
    } else {
        before
    };
    let completed = match (before.completed, now.completed) {
        (Some(then), Some(now)) => now - then,
        // The count became available or unavailable with this reading.
        _ => 0,
    };
    let waited = now
        .total_wait
        .saturating_sub(before.total_wait)
        .as_secs_f64();
    let total_sojourn = now
        .total_sojourn
        .saturating_sub(before.total_sojourn)
        .as_secs_f64();
    let (arrivals, completed) = ((now.arrivals - before.arrivals) as f64, completed as f64);
    Delta {
        arrivals,
        completed,
        waited,
        served: (total_sojourn - waited).max(0.0),
    }
}

/// Returns whether the server counts from 0 again.
fn has_restarted(before: &Counters, now: &Counters) -> bool {
    now.arrivals < before.arrivals
        || now.total_wait < before.total_wait
        || now.total_sojourn < before.total_sojourn
        || matches!((before.completed, now.completed), (Some(then), Some(now)) if now < then)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a reading adds, of which the counters show these completed requests and seconds in workers.
    fn next(
        history: &mut PodHistory,
        second: u64,
        completed: impl Into<Option<u64>>,
        sojourn: u64,
    ) -> Delta {
        let reading = ModelReading {
            counters: Some(Counters {
                arrivals: 10,
                completed: completed.into(),
                total_sojourn: Duration::from_secs(sojourn),
                ..Counters::default()
            }),
            service_time: Some(Duration::from_secs(1)),
            ..ModelReading::default()
        };
        let taken = Moment::from_secs(second);
        let fresh_for = Duration::from_secs(3);
        let increment = history.update(taken, fresh_for, Some(&reading), None, None);
        increment.map_or(Delta::default(), |increment| increment.delta)
    }

    /// A pod whose first requests have completed.
    fn warm() -> PodHistory {
        let mut history = PodHistory::default();
        next(&mut history, 0, 0, 0);
        next(&mut history, 1, 20, 2);
        history
    }

    #[test]
    fn times_count_once_their_requests_are_counted() {
        let mut history = warm();
        assert_eq!(next(&mut history, 2, 20, 11).served, 0.0);
        let delta = next(&mut history, 3, 22, 12);
        assert_eq!((delta.completed, delta.served), (2.0, 10.0));
    }

    #[test]
    fn a_sample_of_the_queue_counts_once_whatever_its_interval() {
        let observed = |interval: u64| {
            let mut history = PodHistory::default();
            let mut increment = None;
            for reading in 0..3 {
                let done = 100 * reading;
                let reading = ModelReading {
                    counters: Some(Counters {
                        arrivals: done,
                        completed: Some(done),
                        total_sojourn: Duration::from_secs(done),
                        ..Counters::default()
                    }),
                    queue: Some(Queue {
                        waiting: 3,
                        workers: 4,
                        ..Queue::default()
                    }),
                    ..ModelReading::default()
                };
                let taken = Moment::from_secs(interval * (1 + done / 100));
                let fresh_for = Duration::from_secs(60);
                increment = history.update(taken, fresh_for, Some(&reading), None, None);
            }
            increment.unwrap().timed.observed
        };
        assert!((observed(1) - 3.0).abs() < 1e-9, "{}", observed(1));
        assert!((observed(10) - 3.0).abs() < 1e-9, "{}", observed(10));
    }

    #[test]
    fn a_model_that_appears_has_completed_what_it_counts() {
        let mut history = PodHistory::default();
        let fresh_for = Duration::from_secs(3);
        history.update(Moment::from_secs(0), fresh_for, None, None, None);
        let delta = next(&mut history, 1, 2, 30);
        // They load the model, and are left out.
        assert_eq!((delta.arrivals, delta.served), (10.0, 0.0));
        assert_eq!(history.warm_up.completed, 2);
    }

    #[test]
    fn the_times_of_a_pause_are_not_kept_for_later() {
        let mut history = warm();
        assert_eq!(next(&mut history, 301, 20, 302).served, 0.0);
        let (_, counters) = history.last.unwrap();
        assert_eq!(counters.total_sojourn, Duration::from_secs(302));
    }

    /// The management port does not respond in every other second.
    #[test]
    fn a_count_that_comes_and_goes_does_not_change_the_service_time() {
        let mut history = warm();
        for second in 2..10 {
            let all = 20 + 10 * (second - 1);
            let known = (second % 2 == 0).then_some(all);
            let delta = next(&mut history, second, known, 2 + 10 * (second - 1));
            assert_eq!((delta.completed, delta.served), (10.0, 10.0), "{second}");
        }
    }

    #[test]
    fn the_times_before_a_restart_do_not_count_after_it() {
        let mut history = warm();
        next(&mut history, 2, 20, 11);
        // The new process has completed as many requests as the former one.
        let delta = next(&mut history, 3, 20, 1);
        assert_eq!((delta.completed, delta.served), (20.0, 1.0));
    }
}
