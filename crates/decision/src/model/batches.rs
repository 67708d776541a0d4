//! The wait for a worker that processes a batch.

use crate::numbers::{to_f32, to_u32_saturating};
use crate::snapshot::visit;

use super::queueing::{MAX_UTILISATION, Variability, Wait, erlang_b, highest};

/// The iteration for the service time ends once it grows by less than this factor, and otherwise, for example with
/// overloaded pods, after this many iterations.
const CONVERGENCE_FACTOR: f64 = 1.01;
const ITERATIONS: u32 = 8;

/// With more workers behind one queue the probability that all are busy hardly changes, and the sum over them would
/// dominate the time of a decision.
const MAX_SUMMED_WORKERS: u32 = 200;

/// Requests in smaller batches than this, on average, show the service time of a single request.
const MAX_SINGLE_BATCH: f64 = 2.0;

/// The workers of a pod that process batches. A batch takes a base time plus a time for each request.
///
/// A request that finds an idle worker is processed alone. If all are busy, it waits until one becomes free, which then
/// takes all waiting requests that fit into a batch. The difference between a batch slot and a worker matters if the
/// target is shorter than a batch: in a pod with one worker, every request waits for the previous batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Batches {
    pub(crate) workers: u32,
    /// The maximum number of requests in a batch.
    pub(crate) size: f64,
    /// The service time of a single request, the time that each further one adds, and the time of a full batch as
    /// measured in saturated pods, in seconds.
    pub(crate) single: f64,
    pub(crate) growth: f64,
    pub(crate) full: f64,
}

/// The workers of a pod at some load.
#[derive(Clone, Copy, Debug)]
struct Occupied {
    /// The probability that all workers of all pods with the same queue are busy.
    all_busy: f64,
    /// The mean service time of the batch that a request is in, in seconds.
    service: f64,
}

/// The observed service times of batches, in seconds.
///
/// That of a single request is the shortest mean, because the mean grows with the size of the batches. If the model has
/// become slower since, the calibration of the formula learns it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchTimes {
    single: Option<f32>,
    growth: f32,
    /// The number of ready pods, and the second since when that number has been constant.
    ready: u32,
    since: u64,
}

visit!(BatchTimes: single, growth, ready, since);

/// The service time of batches, with the load at which it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) second: u64,
    pub(crate) ready: u32,
    /// The seconds of the measurement, and the requests that completed per second.
    pub(crate) seconds: f64,
    pub(crate) rate: f64,
    /// The service time in seconds.
    pub(crate) service: f64,
    /// That of full batches, if known.
    pub(crate) full: Option<f64>,
}

impl BatchTimes {
    /// Learns from a measurement. It is ignored if the number of pods changed meanwhile: with more pods, batches were
    /// smaller.
    pub(crate) fn learn(&mut self, workers: u32, size: f64, measured: &Measured) {
        if self.ready != measured.ready {
            (self.ready, self.since) = (measured.ready, measured.second);
        }
        let unchanged = measured.second.saturating_sub(self.since);
        if (unchanged as f64) < measured.seconds || measured.service <= 0.0 {
            return;
        }
        let filled = measured.filled(workers, size);
        let known = self.single.map(f64::from);
        let observed = match measured.full {
            Some(full) if filled <= size / 2.0 => {
                let growth = (full - measured.service).max(0.0) / (size - filled);
                // A batch takes at most as long as its requests one by one.
                Some((measured.service - growth * (filled - 1.0)).max(full / size))
            }
            None if filled <= MAX_SINGLE_BATCH => Some(measured.service),
            _ => None,
        };
        let Some(shortest) = observed.into_iter().chain(known).min_by(f64::total_cmp) else {
            return;
        };
        self.single = Some(to_f32(shortest));
        let (requests, service) = match measured.full {
            Some(full) => (size, full),
            None => (filled, measured.service),
        };
        if requests >= MAX_SINGLE_BATCH {
            self.growth = to_f32((service - shortest).max(0.0) / (requests - 1.0));
        }
    }

    /// Returns the batches of pods with `workers` workers and a time of `full` seconds for a full batch; `None` if the
    /// time of a single request is unknown.
    pub(crate) fn batches(self, workers: u32, size: f64, full: f64) -> Option<Batches> {
        Some(Batches {
            workers,
            size,
            single: f64::from(self.single?).min(full),
            growth: self.growth.into(),
            full,
        })
    }
}

impl Measured {
    /// Returns the mean number of requests in the batch that a request is in.
    fn filled(&self, workers: u32, size: f64) -> f64 {
        let all = workers.saturating_mul(self.ready.max(1));
        let arriving = self.rate * self.service / f64::from(all);
        1.0 + all_busy(arriving, workers) * arriving.min(size - 1.0)
    }
}

impl Batches {
    /// Returns the workers if `arriving` requests arrive per service time and worker, and `pods` share a queue.
    fn at(&self, arriving: f64, pods: u32) -> Occupied {
        let all_busy = all_busy(arriving, self.workers.saturating_mul(pods));
        Occupied {
            all_busy,
            service: self.single + self.growth * all_busy * arriving.min(self.size - 1.0),
        }
    }

    /// Returns the workers of each of `pods` that share a queue, at `rate` requests per second and pod.
    fn at_rate(&self, rate: f64, pods: u32) -> Occupied {
        let after = |service: f64| self.at(rate * service / f64::from(self.workers), pods);
        let mut occupied = after(self.single);
        for _ in 1..ITERATIONS {
            let before = occupied.service;
            occupied = after(before);
            if occupied.service <= before * CONVERGENCE_FACTOR {
                break;
            }
        }
        occupied
    }

    /// Returns the wait until a worker is free, in seconds, at `rate` requests per second to each of `pods` that share
    /// a queue.
    pub(crate) fn wait(&self, rate: f64, pods: u32, wait: Wait, variability: Variability) -> f64 {
        self.wait_if(self.at_rate(rate, pods), wait, variability)
    }

    fn wait_if(&self, occupied: Occupied, wait: Wait, variability: Variability) -> f64 {
        let workers = f64::from(self.workers);
        occupied.service * wait.with_probability(occupied.all_busy, workers, variability)
    }

    /// Returns the highest rate per pod, in requests per second, at which a pod with its own queue keeps `target`
    /// seconds and at most [`MAX_UTILISATION`] of its throughput with full batches.
    pub(crate) fn highest_rate(&self, wait: Wait, target: f64, variability: Variability) -> f64 {
        let workers = f64::from(self.workers);
        let slots = workers * self.size;
        let rate = |arriving: f64, occupied: Occupied| arriving * workers / occupied.service;
        let fits = |arriving: f64| {
            let occupied = self.at(arriving, 1);
            let load = rate(arriving, occupied) * self.full;
            if load > MAX_UTILISATION * slots {
                return false;
            }
            let waited = self.wait_if(occupied, wait, variability)
                + self.full * wait.at(load, to_u32_saturating(slots), variability);
            waited <= target
        };
        // Each worker has less than a full batch per service time.
        let arriving = highest(self.size, fits);
        rate(arriving, self.at(arriving, 1))
    }
}

/// Returns the probability that all workers are busy, if `arriving` requests arrive per service time and worker.
///
/// The number of busy workers is that of a system without a queue (Erlang B), except that while all are busy, a worker
/// that completes a batch stays busy if requests have arrived since the last completion.
fn all_busy(arriving: f64, workers: u32) -> f64 {
    let workers = workers.clamp(1, MAX_SUMMED_WORKERS);
    let others = erlang_b(arriving * f64::from(workers), workers - 1);
    let ratio = others * arriving * (1.0 + arriving);
    ratio / (1.0 + ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of 16 takes 8.5 times as long as one request.
    const BATCHES: Batches = Batches {
        workers: 1,
        size: 16.0,
        single: 1.0,
        growth: 0.5,
        full: 8.5,
    };

    fn highest_rate(batches: Batches, target: f64) -> f64 {
        batches.highest_rate(Wait::Mean, target, 0.5)
    }

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.02, "{found}");
    }

    #[test]
    fn workers_are_all_busy_as_with_the_closed_forms() {
        // One worker: x (1 + x) / (1 + x + x²).
        for arriving in [0.01, 0.3, 1.0, 5.0] {
            let ratio = arriving * (1.0 + arriving);
            near(all_busy(arriving, 1), ratio / (1.0 + ratio));
        }
        // Many workers: hardly ever below one request per worker and service time, and nearly always far above.
        assert!(all_busy(0.8, 200) < 0.01);
        assert!(all_busy(3.0, 200) > 0.85);
        assert!(all_busy(0.0, 4) <= 0.0);
    }

    #[test]
    fn a_target_below_half_a_batch_leaves_most_places_empty() {
        // The wait is half of the previous batch, times the probability that the worker is busy.
        let rate = highest_rate(BATCHES, 0.2);
        let arriving = rate * BATCHES.at_rate(rate, 1).service;
        near(
            BATCHES.at_rate(rate, 1).service * 0.5 * all_busy(arriving, 1),
            0.2,
        );
        assert!(rate < 0.4, "{rate}");
        // A long target fills the batches.
        near(highest_rate(BATCHES, 100.0), MAX_UTILISATION * 16.0 / 8.5);
    }

    #[test]
    fn more_workers_shorter_batches_and_a_longer_target_allow_a_higher_rate() {
        for target in [0.1, 0.5, 2.0] {
            let rate = highest_rate(BATCHES, target);
            assert!(highest_rate(BATCHES, 1.5 * target) > rate);
            let workers = Batches {
                workers: 2,
                ..BATCHES
            };
            assert!(highest_rate(workers, target) > 2.0 * rate);
            let growth = 0.1;
            let full = 1.0 + 15.0 * growth;
            let shorter = Batches {
                growth,
                full,
                ..BATCHES
            };
            assert!(highest_rate(shorter, target) > rate);
        }
    }

    fn measured(ready: u32, rate: f64, service: f64, full: Option<f64>) -> Measured {
        Measured {
            second: 1000,
            ready,
            seconds: 30.0,
            rate,
            service,
            full,
        }
    }

    #[test]
    fn the_times_of_batches_are_learned_from_loads_that_differ() {
        let mut times = BatchTimes {
            ready: 4,
            ..BatchTimes::default()
        };
        assert_eq!(times.batches(1, 16.0, 8.5), None);
        // Requests in small batches show the time of one.
        times.learn(1, 16.0, &measured(4, 0.4, 1.01, None));
        let of = |times: BatchTimes| times.batches(1, 16.0, 8.5).unwrap();
        near(of(times).single, 1.01);
        // Larger ones show what each further request adds: 4 · 2.5/s · 3 s are 7.5 requests per batch and worker.
        times.learn(1, 16.0, &measured(4, 10.0, 3.0, None));
        let growth = of(times).growth;
        assert!((0.2..0.5).contains(&growth), "{growth}");
        // Small batches do not change that.
        times.learn(1, 16.0, &measured(4, 0.4, 1.01, None));
        near(of(times).growth, growth);
        // Full ones show it exactly.
        times.learn(1, 16.0, &measured(4, 0.4, 1.01, Some(8.5)));
        near(of(times).growth, 0.5);
    }

    #[test]
    fn while_the_number_of_pods_changes_nothing_is_learned() {
        let mut times = BatchTimes::default();
        times.learn(1, 16.0, &measured(4, 0.4, 1.0, None));
        assert!(times.batches(1, 16.0, 8.5).is_none());
        let later = Measured {
            second: 1030,
            ..measured(4, 0.4, 1.0, None)
        };
        times.learn(1, 16.0, &later);
        assert!(times.batches(1, 16.0, 8.5).is_some());
    }
}
