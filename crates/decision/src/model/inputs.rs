//! What the model is fed: what a pod is, how long a request takes, and what is missing of that.

use crate::policy::{Aggregate, Balancing, Metric};

use super::arrivals::Rate;
use super::capacity::Capacity;
use super::fleet_snapshot::FleetSnapshot;
use super::plan::{Incomplete, Situation};
use super::queueing::{Wait, whole};
use super::state::ModelState;

/// Fewer answers are timed than given, by this share and for so many seconds: some are not seen (gRPC, failures).
const UNTIMED_SHARE: f64 = 0.8;
const UNTIMED_SECONDS: u64 = 300;

/// Requests that make a mean.
const ENOUGH: f64 = 30.0;

/// With queues of their own, the pod that a fifth of the pods is slower than decides.
const SLOW_QUANTILE: f64 = 0.8;

/// The standard normal quantile of that: what equal pods would show by chance.
const SLOW_BY_CHANCE: f64 = 0.84;

/// Answers behind a pod's own service time, and the fewest pods that make a quantile.
const OWN_ANSWERS: f64 = 300.0;
const FEWEST_PODS: usize = 5;

/// A fleet whose pods hold so many times what they work on is full: its throughput is all that it can do.
const FULL: f64 = 2.0;

/// The least of a target that is left when the forming of batches is taken off it.
const TARGET_LEFT: f64 = 0.1;

impl ModelState {
    /// Requests that a pod works on at a time, and whether somebody told.
    pub(super) fn slots(&self, metric: &Metric, fleet_snapshot: &FleetSnapshot) -> (u32, bool) {
        if fleet_snapshot.queues > 0 && fleet_snapshot.workers > 0.0 {
            return (
                whole((fleet_snapshot.workers * fleet_snapshot.batch).round()).max(1),
                true,
            );
        }
        match metric.workers {
            Some(workers) => (workers.max(1), true),
            None => (whole((self.busiest - 0.1).ceil()).max(1), false),
        }
    }

    /// Which input is missing. `turns`: seconds since the last look.
    pub(super) fn missing(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        workers_known: bool,
        turns: u64,
    ) -> Option<Incomplete> {
        let minute = self.second_buckets.window(60);
        let timed = minute.served / minute.completed.max(1.0);
        let unseen = fleet_snapshot.counting > 0
            && minute.completed >= ENOUGH
            && fleet_snapshot
                .gauge
                .is_some_and(|gauge| timed < UNTIMED_SHARE * gauge);
        self.untimed = if unseen {
            self.untimed.saturating_add(turns)
        } else {
            0
        };
        if fleet_snapshot.counting == 0 && minute.arrivals > 0.0 {
            Some(Incomplete::CompletionCountUnavailable)
        } else if self.untimed >= UNTIMED_SECONDS {
            Some(Incomplete::UntimedCompletions)
        } else if !workers_known {
            Some(Incomplete::WorkerCountUnknown)
        } else {
            None
        }
    }

    /// How long a request takes, in seconds.
    pub(super) fn service_time(
        &mut self,
        metric: &Metric,
        fleet_snapshot: &FleetSnapshot,
        full: bool,
        missing: Option<Incomplete>,
    ) -> Option<f64> {
        let measured = self.service.measure(&self.second_buckets, full);
        let prior = metric.service_time.map(|service| service.as_secs_f64());
        match missing {
            // Answers that are not timed make the mean too small; the server's own measure has them all.
            Some(Incomplete::UntimedCompletions) => fleet_snapshot.gauge.or(measured),
            Some(Incomplete::CompletionCountUnavailable) => fleet_snapshot
                .gauge
                .or(measured)
                .or_else(|| self.by_arrivals()),
            Some(Incomplete::WorkerCountUnknown) | None => measured.or(fleet_snapshot.gauge),
        }
        .or(prior)
        .filter(|seconds| *seconds > 0.0)
    }

    /// Without any count of answers: in the long run as many are answered as arrive.
    fn by_arrivals(&self) -> Option<f64> {
        let long = self.second_buckets.window(300);
        (long.arrivals >= ENOUGH && long.served > 0.0).then(|| long.served / long.arrivals)
    }

    /// What a pod can do.
    pub(super) fn capacity(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &mut FleetSnapshot,
        service: f64,
        slots: u32,
        rate: Rate,
    ) -> Capacity {
        let ready = f64::from(fleet_snapshot.ready.max(1));
        let (mut service, mut target) = (service, situation.metric.target.latency().as_secs_f64());
        if fleet_snapshot.batch > 1.0 {
            if fleet_snapshot.in_system > FULL * f64::from(slots) * ready {
                let lately = self.second_buckets.window(5);
                self.peak = self
                    .peak
                    .max(lately.completed / lately.seconds.max(1.0) / ready);
            }
            // Batches that are not full are quicker than full ones: the throughput of a full fleet says what it can do.
            if self.peak > 0.0 {
                service = service.max(f64::from(slots) / self.peak);
            }
            target = (target - fleet_snapshot.forming(rate.now)).max(TARGET_LEFT * target);
        } else if fleet_snapshot.queues == 0 {
            let lately = self
                .second_buckets
                .window(whole(5.0 * service.max(2.0)).into());
            self.busiest = self
                .busiest
                .max(lately.served / lately.seconds.max(1.0) / ready);
        }
        let unevenness = self.arrivals.unevenness();
        let unevenness = match situation.balancing {
            // A pod sees a part of the stream, and the smaller the part the more it is like Poisson.
            Balancing::Random => 1.0 + (unevenness - 1.0).max(0.0) / ready,
            Balancing::LeastRequest => unevenness,
        };
        let variation = self.service.variation();
        Capacity {
            service,
            slots,
            variability: (unevenness + variation) / 2.0 * self.calibration.factor(),
            target,
            wait: match situation.metric.aggregate {
                Aggregate::Mean => Wait::Mean,
                Aggregate::P95 => Wait::Exceeded(0.05),
                // The API refuses it with this algorithm; an object from before is near enough by this.
                Aggregate::Max => Wait::Exceeded(0.01),
            },
            balancing: situation.balancing,
            slowest: match situation.balancing {
                Balancing::Random => slowest(&mut fleet_snapshot.services, service, variation),
                Balancing::LeastRequest => 1.0,
            },
            most: situation.max,
        }
    }

    /// The mean wait of the answers of the last ten seconds, in seconds, without the forming of batches; `None`: nobody
    /// was answered.
    pub(super) fn waited(&self, fleet_snapshot: &FleetSnapshot, rate: Rate) -> Option<f64> {
        let lately = self.second_buckets.window(10);
        let waited = if lately.completed >= 5.0 {
            lately.waited / lately.completed
        } else if fleet_snapshot.counting == 0 {
            fleet_snapshot.wait?
        } else {
            return None;
        };
        Some((waited - fleet_snapshot.forming(rate.now)).max(0.0))
    }
}

impl FleetSnapshot {
    /// How long a request waits for its batch to be complete, in seconds, at `rate` arrivals a second in all.
    fn forming(&self, rate: f64) -> f64 {
        if self.batch <= 1.0 {
            return 0.0;
        }
        let each = (rate / f64::from(self.ready.max(1))).max(1e-9);
        self.batch_delay.min((self.batch - 1.0) / (2.0 * each))
    }
}

/// How much slower than the mean the slow pods are, beyond what equal pods would show by chance. Sorts `services`.
fn slowest(services: &mut [f32], service: f64, variation: f64) -> f64 {
    if services.len() < FEWEST_PODS {
        return 1.0;
    }
    services.sort_unstable_by(f32::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
    let place = SLOW_QUANTILE * (services.len() - 1) as f64;
    let found = services.get(whole(place.round()) as usize).copied();
    let chance = SLOW_BY_CHANCE * (variation / OWN_ANSWERS).sqrt();
    found.map_or(1.0, |found| (f64::from(found) / service - chance).max(1.0))
}
