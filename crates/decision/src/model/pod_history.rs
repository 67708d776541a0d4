//! What one pod has counted for one model, from reading to reading.

use crate::moment::Moment;
use crate::reading::{Counters, ModelReading, Queue};
use crate::snapshot::Snapshot;

use super::second_buckets::Delta;

/// The first answers of a pod are slow (caches, compilation): readings until so many have come do not count towards the
/// service time, unless that takes longer than so many seconds.
const COLD_ANSWERS: u64 = 20;
const COLD_SECONDS: f64 = 10.0;

/// A pod that was not heard for longer may have been frozen: what it then had in hand took as long as that, and says
/// nothing of service. Two pods thawed after five minutes made a service time of 0.1 s one of 3.4 s, and an order of
/// 200 pods where 7 were needed.
const FROZEN: f64 = 5.0;

/// Answers that a pod's own service time is averaged over.
const OWN_ANSWERS: f32 = 300.0;

/// A pod's last counters, and what follows from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodHistory {
    last: Option<(Moment, Counters)>,
    /// The second that its last count went into.
    pub(crate) place: u64,
    /// When it answered first, and how many it has answered since.
    warm_since: Option<Moment>,
    answers: u64,
    /// Its own service time: answers that it rests on, and their mean in seconds.
    own_answers: f32,
    own_service: f32,
    /// Requests in it now; 0 if unknown.
    pub(crate) in_system: f32,
    /// Requests that wait in it now, and workers, as it last said.
    pub(crate) queue: Option<Queue>,
}

/// What a reading adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Addition {
    pub(crate) from: Moment,
    pub(crate) to: Moment,
    pub(crate) delta: Delta,
    /// Something was completed, even if the delta leaves it out of what is known of service.
    pub(crate) answers: bool,
}

impl PodHistory {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let blank = || (Moment::ORIGIN, Counters::default());
        snapshot.option(&mut self.last, blank, |snapshot, (at, counters)| {
            snapshot.moment(at);
            counters.visit(snapshot);
        });
        snapshot.u64(&mut self.place);
        snapshot.option(&mut self.warm_since, || Moment::ORIGIN, Snapshot::moment);
        snapshot.u64(&mut self.answers);
        snapshot.f32(&mut self.own_answers);
        snapshot.f32(&mut self.own_service);
        snapshot.f32(&mut self.in_system);
        snapshot.option(&mut self.queue, Queue::default, |snapshot, queue| {
            queue.visit(snapshot)
        });
    }

    /// Takes a reading's numbers. `new`: the pod began under our eyes, so that all it has counted is new, from
    /// `began` on.
    pub(crate) fn take(
        &mut self,
        taken: Moment,
        reading: Option<&ModelReading>,
        new: Option<Moment>,
    ) -> Option<Addition> {
        self.queue = reading.and_then(|reading| reading.queue);
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let in_system = self
            .queue
            .map_or(0, |queue| queue.waiting.saturating_add(queue.in_service))
            as f32;
        self.in_system = in_system;
        // A good page without the series of a model: it has had no request. Here, and only here, absent is zero.
        let now = reading
            .and_then(|reading| reading.counters)
            .unwrap_or_default();
        let before = match (self.last, new) {
            (Some(before), _) => Some(before),
            // Without a past of the pod, what it has counted is of unknown age: it is where we begin.
            (None, Some(began)) => Some((
                began,
                Counters {
                    completed: Some(0),
                    ..Counters::default()
                },
            )),
            (None, None) => None,
        };
        self.last = Some((taken, now));
        let (from, before) = before?;
        let mut delta = moved(&before, &now);
        if now.completed.is_none() {
            // The times in a worker cover the answers that nobody counts: over the time of one they are their number.
            let one = reading.and_then(|reading| reading.service_time);
            delta.completed = one.map_or(0.0, |one| delta.served / one.as_secs_f64().max(1e-6));
        }
        let answers = delta.completed > 0.0;
        if taken.since(from).as_secs_f64() > FROZEN {
            (self.warm_since, self.answers) = (None, 0);
            delta.forget_answers();
        }
        self.warm_up(taken, &mut delta);
        (taken > from).then_some(Addition {
            from,
            to: taken,
            delta,
            answers,
        })
    }

    /// Leaves the first answers out of what is known of service.
    fn warm_up(&mut self, taken: Moment, delta: &mut Delta) {
        if delta.completed <= 0.0 {
            return;
        }
        let since = *self.warm_since.get_or_insert(taken);
        let few = self.answers < COLD_ANSWERS;
        self.answers = self
            .answers
            .saturating_add(super::queueing::whole(delta.completed).into());
        if few && taken.since(since).as_secs_f64() < COLD_SECONDS {
            delta.forget_answers();
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a few requests")]
        let (completed, mean) = (
            delta.completed as f32,
            (delta.served / delta.completed) as f32,
        );
        self.own_answers = (self.own_answers + completed).min(OWN_ANSWERS);
        self.own_service += (mean - self.own_service) * (completed / self.own_answers).min(1.0);
    }

    /// Its own service time in seconds, once that rests on enough answers.
    pub(crate) fn own_service(&self) -> Option<f32> {
        (self.own_answers >= OWN_ANSWERS).then_some(self.own_service)
    }
}

/// From `before` to `now`. If any counter went down, all began anew, and what they show is new.
fn moved(before: &Counters, now: &Counters) -> Delta {
    let again = now.arrivals < before.arrivals
        || now.total_wait < before.total_wait
        || now.total_sojourn < before.total_sojourn
        || matches!((before.completed, now.completed), (Some(then), Some(now)) if now < then);
    let zero = Counters {
        completed: Some(0),
        ..Counters::default()
    };
    let before = if again { &zero } else { before };
    let completed = match (before.completed, now.completed) {
        (Some(then), Some(now)) => now - then,
        // The count of answers has only just become known, or is lost.
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
    #[expect(clippy::cast_precision_loss, reason = "requests between two readings")]
    let (arrivals, completed) = ((now.arrivals - before.arrivals) as f64, completed as f64);
    Delta {
        arrivals,
        completed,
        waited,
        served: (total_sojourn - waited).max(0.0),
    }
}
