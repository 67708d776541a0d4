//! The inputs of the model: workers, service time, capacity, and which inputs are missing.

use crate::policy::{Aggregate, Balancing, Metric};

use super::arrivals::Rate;
use super::batches::{BatchTimes, Batches, Measured};
use super::capacity::{Capacity, SlowestPods};
use super::evidence::{FEW_REQUESTS, MANY_REQUESTS, recent_seconds};
use super::fleet_snapshot::FleetSnapshot;
use super::plan::{Incomplete, Situation};
use super::queueing::Wait;
use super::rules::Rule;
use super::state::ModelState;
use crate::numbers::{to_f32, to_u32_saturating};

/// With separate queues, a pod counts as slower only beyond this many standard deviations of its mean service time. By
/// chance, the slowest of a hundred equal pods stays within them.
const SLOW_BY_CHANCE: f64 = 3.0;

/// A wait of this many service times shows that all workers are busy.
const ALL_BUSY_WAIT: f64 = 2.0;

/// Until a pod with batching was saturated, it counts for this multiple of the requests that it has had in flight. A
/// full batch may take as long as its requests one by one: a fleet of 30 pods that needs nine was cut to five in 30 s.
const FILL_FACTOR: f64 = 2.0;

/// The shortest window in which the service time of partial batches is measured together with the rate, in seconds.
const MIN_MEASURED_SECONDS: u64 = 30;

/// A change of the mean batch size by more than this share means different batches, for example after a rollout.
const BATCH_SIZE_CHANGE: f32 = 0.25;

/// The minimum share of the target that remains after subtracting the time for filling a batch.
const MIN_TARGET_SHARE: f64 = 0.1;

/// A pod processes at most this number of requests in parallel. The queueing formulas take as many steps, and a pod
/// that reported two billion workers blocked the control loop for 20 s per decision.
const MAX_SLOTS: u32 = 4096;

impl ModelState {
    /// Learns the workers and batches that pods report. While no pod reports any, the last ones count, unless the
    /// metric has its own.
    pub(super) fn learn_workers(&mut self, metric: &Metric, fleet_snapshot: &mut FleetSnapshot) {
        let known = &mut self.last_workers;
        if fleet_snapshot.queues == 0 {
            if metric.workers.is_none() && known.workers > 0.0 {
                // One failed read of the management port made a pod with four workers look like one with a single
                // worker, and the fleet then needed four times as many pods or more.
                fleet_snapshot.workers = known.workers.into();
                fleet_snapshot.batch = known.batch.into();
            }
            return;
        }
        let batch = to_f32(fleet_snapshot.batch);
        known.workers = to_f32(fleet_snapshot.workers);
        // A rollout changes the mean little by little.
        if (batch - known.batch).abs() <= BATCH_SIZE_CHANGE * known.batch {
            return;
        }
        known.batch = batch;
        // The time of full batches does not hold for smaller or larger ones, and only another saturation would correct
        // it: a fleet that is too large for the new batches would stay too large.
        self.service.forget_saturated();
        self.batch_times = BatchTimes::default();
        self.busy_workers = 0.0;
    }

    /// Returns the requests that a pod processes in parallel, and whether that number is known.
    pub(super) fn slots(&self, metric: &Metric, fleet_snapshot: &FleetSnapshot) -> (u32, bool) {
        let (slots, is_known) = if fleet_snapshot.workers > 0.0 {
            let slots = (fleet_snapshot.workers * fleet_snapshot.batch).round();
            (to_u32_saturating(slots), true)
        } else if let Some(workers) = metric.workers {
            (workers, true)
        } else {
            (to_u32_saturating((self.busy_workers - 0.1).ceil()), false)
        };
        (slots.clamp(1, MAX_SLOTS), is_known)
    }

    /// Returns the input that is missing, if any.
    pub(super) fn missing(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        workers_known: bool,
    ) -> Option<Incomplete> {
        let arrives = self.second_buckets.window(60).arrivals > 0.0;
        if fleet_snapshot.counting == 0 && arrives {
            Some(Incomplete::CompletionCountUnavailable)
        } else if self.service.untimed() {
            Some(Incomplete::UntimedCompletions)
        } else if !workers_known && arrives {
            Some(Incomplete::WorkerCountUnknown)
        } else {
            None
        }
    }

    /// Returns the service time in seconds, if it is known.
    pub(super) fn service_time(
        &mut self,
        metric: &Metric,
        fleet_snapshot: &FleetSnapshot,
        missing: Option<Incomplete>,
    ) -> Option<f64> {
        let may_rise = 2 * fleet_snapshot.warming_up <= fleet_snapshot.ready;
        let has_gauge = fleet_snapshot.gauge.is_some();
        let measured = self
            .service
            .measure(&self.second_buckets, has_gauge, may_rise);
        let prior = metric.service_time.map(|service| service.as_secs_f64());
        match missing {
            Some(Incomplete::UntimedCompletions) => self.service.of_all(fleet_snapshot.gauge),
            Some(Incomplete::CompletionCountUnavailable) => fleet_snapshot
                .gauge
                .or(measured)
                .or_else(|| self.service_time_by_arrivals()),
            Some(Incomplete::WorkerCountUnknown) | None => measured.or(fleet_snapshot.gauge),
        }
        .or(self.restored_service())
        .or(prior)
        .filter(|seconds| *seconds > 0.0)
    }

    /// Returns the service time if completed requests are not counted: in the long run, as many complete as arrive.
    fn service_time_by_arrivals(&self) -> Option<f64> {
        let long = self.second_buckets.window(300);
        (long.arrivals >= FEW_REQUESTS && long.served > 0.0).then(|| long.served / long.arrivals)
    }

    /// Returns the capacity of a pod.
    pub(super) fn capacity(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &mut FleetSnapshot,
        service: f64,
        slots: u32,
        rate: Rate,
    ) -> Capacity {
        let ready = f64::from(fleet_snapshot.ready.max(1));
        let mut batches = None;
        let (mut service, mut target) = (service, situation.metric.target.latency().as_secs_f64());
        if fleet_snapshot.batch > 1.0 && Rule::FullLoad.applies() {
            self.busy_workers = self.busy_workers.max(rate.now * service / ready);
            // Partial batches are faster than full ones.
            service = service.max(self.service.at_full_load().unwrap_or(0.0));
            batches = self.batches(fleet_snapshot, service, slots);
            target =
                (target - fleet_snapshot.batch_fill_time(rate.now)).max(MIN_TARGET_SHARE * target);
        } else if fleet_snapshot.queues == 0 {
            let recent = self
                .second_buckets
                .window(to_u32_saturating(5.0 * service.max(2.0)).into());
            let busy = recent.served / recent.seconds.max(1.0) / ready;
            let all_busy = recent.waited > ALL_BUSY_WAIT * recent.served;
            if all_busy || busy > self.busy_workers {
                self.busy_workers = busy;
            }
        }
        let mut variation = self.service.variation();
        if fleet_snapshot.batch > 1.0 {
            // Requests of a batch take equally long, so their means vary by more than the batches do.
            variation = variation.min(1.0);
        }
        let calibration = self.calibration.factor();
        let is_mean = situation.metric.aggregate == Aggregate::Mean;
        let queues = self.wait_percentile.as_ref();
        let sharing = queues
            .filter(|_| !is_mean && fleet_snapshot.batch <= 1.0)
            .map_or(f64::INFINITY, |queues| queues.sharing());
        Capacity {
            service,
            slots,
            batches,
            variability: (1.0 + variation) / 2.0 * calibration,
            calibration,
            target,
            queue_limit: fleet_snapshot
                .queue_limit
                .filter(|_| situation.balancing == Balancing::Random),
            wait: match situation.metric.aggregate {
                Aggregate::Mean => Wait::Mean,
                Aggregate::Percentile(percentile) => Wait::Exceeded(percentile.share_above()),
                // The API rejects Max with this algorithm; for an older object this is a good approximation.
                Aggregate::Max => Wait::Exceeded(0.01),
            },
            balancing: situation.balancing,
            sharing,
            slowest: match situation.balancing {
                Balancing::Random => fleet_snapshot.slowest_pods(service, variation),
                Balancing::LeastRequest => None,
            },
            max: situation.max,
        }
    }

    /// Returns the batches of a pod, if the time of a single request is known.
    fn batches(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        full: f64,
        slots: u32,
    ) -> Option<Batches> {
        let workers = to_u32_saturating(fleet_snapshot.workers.round()).max(1);
        let size = f64::from(slots) / f64::from(workers);
        if size < 2.0 || !Rule::BatchWait.applies() {
            return None;
        }
        let window = self
            .second_buckets
            .newest_completed(MANY_REQUESTS, MIN_MEASURED_SECONDS);
        let measured = Measured {
            second: self.second_buckets.now(),
            ready: fleet_snapshot.ready,
            seconds: window.seconds,
            rate: window.completed / window.seconds.max(1.0),
            service: window.served / window.completed.max(1.0),
            full: self.service.at_full_load(),
        };
        self.batch_times.learn(workers, size, &measured);
        self.batch_times.batches(workers, size, full)
    }

    /// Returns the capacity that a pod with batching certainly has, if none has been saturated yet: that of single
    /// requests, or of [`FILL_FACTOR`] times the requests that pods have had in flight.
    pub(super) fn certain(
        &self,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
    ) -> Option<Capacity> {
        let unknown = fleet_snapshot.batch > 1.0
            && self.service.at_full_load().is_none()
            && Rule::BatchFill.applies();
        let certain = fleet_snapshot.workers.max(FILL_FACTOR * self.busy_workers);
        let slots = to_u32_saturating(certain.ceil()).max(1);
        (unknown && slots < capacity.slots).then_some(Capacity {
            slots,
            batches: None,
            ..*capacity
        })
    }

    /// Returns the mean wait of the requests completed recently, in seconds and without the time for filling a batch;
    /// `None` if none completed. If only few completed, it is that of the waiting requests.
    pub(super) fn waited(
        &self,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        rate: Rate,
    ) -> Option<f64> {
        let span = to_u32_saturating(recent_seconds(capacity.service));
        let recent = self.second_buckets.window(span.into());
        let timed = recent.completed * self.service.timed_share();
        let waited = if timed >= 5.0 {
            recent.waited / timed
        } else if self.service.timed_share() < 1.0
            || fleet_snapshot.queues > 0 && recent.completed > 0.0
        {
            fleet_snapshot.mean_wait(capacity)
        } else if fleet_snapshot.counting == 0 {
            fleet_snapshot.wait?
        } else {
            return None;
        };
        Some((waited - fleet_snapshot.batch_fill_time(rate.now)).max(0.0))
    }
}

impl FleetSnapshot {
    /// Returns the mean time in seconds that a request waits for its batch to fill, at `rate` requests per second.
    pub(super) fn batch_fill_time(&self, rate: f64) -> f64 {
        if self.batch <= 1.0 {
            return 0.0;
        }
        let per_pod = (rate / f64::from(self.ready.max(1))).max(1e-9);
        self.batch_delay.min((self.batch - 1.0) / (2.0 * per_pod))
    }

    /// Returns the slowest pods, given the mean service time in seconds and its variability: those that are closer to
    /// the slowest one than to the mean.
    fn slowest_pods(&self, service: f64, variation: f64) -> Option<SlowestPods> {
        let longest = f64::from(self.slowest.as_ref()?.seconds);
        let slowdown = longest / service - SLOW_BY_CHANCE * (variation / MANY_REQUESTS).sqrt();
        if slowdown <= 1.0 || !Rule::Slowdown.applies() {
            return None;
        }
        let limit = to_f32((longest + service) / 2.0);
        let services = self.services.iter();
        let pods = services.filter(|time| **time >= limit).count();
        Some(SlowestPods {
            pods: u32::try_from(pods).unwrap_or(u32::MAX),
            slowdown,
            share: pods as f64 / self.services.len() as f64,
        })
    }
}
