//! The pods that an arrival rate needs.

use crate::numbers::{to_f32, to_u32_saturating};
use crate::policy::Balancing;

use super::batches::Batches;
use super::queueing::{Wait, highest, pooled_pods, rejected, utilisation};
use super::rules::Rule;

/// Steps per unit of the logarithm, of 5% each: noise in a measured variability must not change the replicas.
const LOG_STEPS: f64 = 20.0;

/// Maximum pods added per slow pod: beyond it, deleting the slow pod is cheaper. Without this limit, one pod
/// of a hundred that took six times as long ordered 456 more.
const MAX_FOR_SLOW: f64 = 15.0;

/// The highest planned share of requests that a pod rejects because its queue is full, at a mean wait of the target.
const MAX_REJECTED: f64 = 0.001;

/// A short queue raises the need to at most this multiple of the pods that keep the wait. Without this limit, pods with
/// one worker and room for one waiting request took 18 times as many.
const MAX_FOR_QUEUE: f64 = 3.0;

/// If more pods than this share a queue, it is like one for all.
const MAX_SHARING: f64 = 32.0;

/// The properties of a pod and its goal. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// The service time; with batching, that of a full batch.
    pub(crate) service: f64,
    /// Requests that a pod processes in parallel.
    pub(crate) slots: u32,
    /// The batches of its workers, if the time of a single request is known.
    pub(crate) batches: Option<Batches>,
    /// The calibrated variability of the service time; 1 for Poisson arrivals and exponential service.
    pub(crate) variability: f64,
    /// The calibration in `variability`: measured over predicted waits.
    pub(crate) calibration: f64,
    pub(crate) target: f64,
    /// The requests that may wait in a pod, if each has its own queue and that is known.
    pub(crate) queue_limit: Option<f64>,
    pub(crate) wait: Wait,
    pub(crate) balancing: Balancing,
    /// With `LeastRequest`, the number of pods that share a queue; infinite for all.
    pub(crate) sharing: f64,
    /// The slowest pods, which matter if each pod has its own queue.
    pub(crate) slowest: Option<SlowestPods>,
    /// The largest need that is computed.
    pub(crate) max: u32,
}

/// The pods whose requests take the longest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SlowestPods {
    pub(crate) pods: u32,
    /// Their service time divided by the mean.
    pub(crate) slowdown: f64,
    /// Their share of all pods, and thus of the requests.
    pub(crate) share: f64,
}

/// The utilisations computed last: for the target latency and the violation limit, each for all pods and the slowest.
#[derive(Clone, Debug, Default)]
pub(crate) struct UtilisationCache([Option<(Key, f64)>; 8]);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    step: f32,
    slots: u32,
    wait: Wait,
    /// The workers, and the times of a single request and of each further one in a batch, divided by that of a full
    /// batch, as logarithms in steps.
    batches: Option<(u32, f32, f32)>,
}

impl Capacity {
    /// Returns the pods for `rate` requests per second at a wait of `times` the target latency: fractional, but whole
    /// with one shared queue.
    pub(crate) fn need(&self, rate: f64, times: f64, cache: &mut UtilisationCache) -> f64 {
        if self.balancing == Balancing::LeastRequest {
            let pods = pooled_pods(
                self.wait,
                self.target * times / self.service,
                rate * self.service,
                self.slots,
                self.variability,
                self.max,
            );
            let all = f64::from(self.pooled_batches(rate, times, pods));
            return all.max(self.pods_of_shared_queues(rate, times, cache));
        }
        let need = self.separate_pods(rate, 1.0, times, cache);
        self.need_of_slowest(rate, times, cache)
            .map_or(need, |slowest| need.max(slowest))
    }

    /// Returns the number of pods that share a queue, if not all do.
    pub(super) fn sharing_pods(&self) -> Option<f64> {
        let is_pooled = self.balancing == Balancing::LeastRequest;
        (is_pooled && self.sharing <= MAX_SHARING).then_some(self.sharing)
    }

    /// Returns the pods that keep a wait of `times` the target latency if a few share a queue; 0 if all do.
    fn pods_of_shared_queues(&self, rate: f64, times: f64, cache: &mut UtilisationCache) -> f64 {
        let Some(sharing) = self.sharing_pods() else {
            return 0.0;
        };
        let utilisation = self.between_whole_pods(sharing, |pods| {
            let slots = self.slots.saturating_mul(pods);
            Self { slots, ..*self }.utilisation_for_wait(1.0, times, cache)
        });
        rate * self.service / (f64::from(self.slots) * utilisation).max(1e-9)
    }

    /// Returns the value for a fractional number of pods, between those of whole ones.
    fn between_whole_pods(&self, pods: f64, mut of: impl FnMut(u32) -> f64) -> f64 {
        let fewer = to_u32_saturating(pods).max(1);
        let rest = (pods - f64::from(fewer)).clamp(0.0, 1.0);
        (1.0 - rest) * of(fewer) + rest * of(fewer + 1)
    }

    /// Returns the pods with which the slowest ones, with their share of the requests, cause a mean wait of at most
    /// `times` the target latency over all requests; `None` if that takes more pods than it is worth.
    pub(crate) fn need_of_slowest(
        &self,
        rate: f64,
        times: f64,
        cache: &mut UtilisationCache,
    ) -> Option<f64> {
        let slowest = self.slowest?;
        let need = self.separate_pods(rate, slowest.slowdown, times / slowest.share, cache);
        let more = need - self.separate_pods(rate, 1.0, times, cache);
        (more <= MAX_FOR_SLOW * f64::from(slowest.pods)).then_some(need)
    }

    /// Returns the pods with separate queues that keep a wait of `times` the target latency, if all are slower by the
    /// factor `slowdown`.
    fn separate_pods(
        &self,
        rate: f64,
        slowdown: f64,
        times: f64,
        cache: &mut UtilisationCache,
    ) -> f64 {
        let utilisation = self.utilisation_if(slowdown, times, cache);
        rate * self.service * slowdown / (f64::from(self.slots) * utilisation).max(1e-9)
    }

    /// Returns the smallest number of pods with a shared queue, at least `pods`, whose wait for the previous batch is
    /// at most `times` the target latency. With several pods, the other wait is almost zero where this one counts.
    fn pooled_batches(&self, rate: f64, times: f64, pods: u32) -> u32 {
        let fits = |pods: u32| self.wait_for_batch(rate, pods.into()) <= times * self.target;
        if self.batches.is_none() || fits(pods) {
            return pods;
        }
        let (mut few, mut enough) = (pods, pods);
        while enough < self.max && !fits(enough) {
            (few, enough) = (enough, enough.saturating_mul(2).min(self.max));
        }
        while enough - few > 1 {
            let middle = few.midpoint(enough);
            if fits(middle) {
                enough = middle;
            } else {
                few = middle;
            }
        }
        enough
    }

    /// Returns the utilisation that keeps a wait of `times` the target latency, 0 to 1.
    pub(crate) fn utilisation(&self, times: f64, cache: &mut UtilisationCache) -> f64 {
        self.utilisation_if(1.0, times, cache)
    }

    fn utilisation_if(&self, slowdown: f64, times: f64, cache: &mut UtilisationCache) -> f64 {
        let for_wait = self.utilisation_for_wait(slowdown, times, cache);
        let Some(limit) = self.queue_limit.filter(|_| Rule::QueueLimit.applies()) else {
            return for_wait;
        };
        let limit = ratio(steps(limit / self.variability));
        let slots = f64::from(self.slots);
        let few_rejected =
            |rho: f64| rejected(rho * slots, self.slots, limit) <= MAX_REJECTED * times;
        highest(for_wait, few_rejected).max(for_wait / MAX_FOR_QUEUE)
    }

    /// Returns the utilisation that keeps a wait of `times` the target latency, without the limit of the queue.
    pub(super) fn utilisation_for_wait(
        &self,
        slowdown: f64,
        times: f64,
        cache: &mut UtilisationCache,
    ) -> f64 {
        let service = self.service * slowdown;
        let key = Key {
            step: steps(self.variability * service / (self.target * times)),
            slots: self.slots,
            wait: self.wait,
            batches: self.batches.map(|batches| {
                let of_full = |seconds: f64| steps(seconds / batches.full);
                (
                    batches.workers,
                    of_full(batches.single),
                    of_full(batches.growth),
                )
            }),
        };
        cache.get(key, || {
            let Some((workers, of_single, of_growth)) = key.batches else {
                return utilisation(self.wait, 1.0, self.slots, ratio(key.step));
            };
            let slots = f64::from(self.slots);
            let batches = Batches {
                workers,
                size: slots / f64::from(workers),
                single: ratio(of_single),
                growth: ratio(of_growth),
                full: 1.0,
            };
            batches.highest_rate(self.wait, 1.0 / ratio(key.step), 1.0) / slots
        })
    }

    /// Returns the wait that the formula predicts with `pods` pods, in seconds.
    pub(crate) fn predicted(&self, rate: f64, pods: f64) -> f64 {
        let load = rate * self.service;
        let wait = match self.balancing {
            Balancing::Random => self.wait.at(load / pods, self.slots, self.variability),
            Balancing::LeastRequest if self.sharing < pods.min(MAX_SHARING) => self
                .between_whole_pods(self.sharing, |sharing| {
                    let workers = self.slots * sharing;
                    self.wait
                        .at(load / pods * f64::from(sharing), workers, self.variability)
                }),
            Balancing::LeastRequest => {
                let all = to_u32_saturating(pods).saturating_mul(self.slots);
                self.wait.at(load, all.clamp(1, 100_000), self.variability)
            }
        };
        wait * self.service + self.wait_for_batch(rate, pods)
    }

    /// Returns the wait for the previous batch with `pods` pods, in seconds; 0 without batching.
    fn wait_for_batch(&self, rate: f64, pods: f64) -> f64 {
        let sharing = match self.balancing {
            Balancing::Random => 1,
            Balancing::LeastRequest => to_u32_saturating(pods).max(1),
        };
        self.batches.map_or(0.0, |batches| {
            batches.wait(rate / pods, sharing, self.wait, self.variability)
        })
    }
}

/// Rounds the logarithm of a ratio to steps.
fn steps(ratio: f64) -> f32 {
    to_f32((ratio.max(1e-9).ln() * LOG_STEPS).round())
}

fn ratio(steps: f32) -> f64 {
    (f64::from(steps) / LOG_STEPS).exp()
}

impl UtilisationCache {
    fn get(&mut self, key: Key, compute: impl FnOnce() -> f64) -> f64 {
        let found = self.0.iter().flatten().find(|(known, _)| *known == key);
        if let Some((_, utilisation)) = found {
            return *utilisation;
        }
        let utilisation = compute();
        self.0.rotate_right(1);
        self.0[0] = Some((key, utilisation));
        utilisation
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn the_fewer_pods_share_a_queue_the_more_are_needed() {
        let pods = |sharing, balancing| {
            let capacity = Capacity {
                wait: Wait::Exceeded(0.05),
                balancing,
                sharing,
                ..capacity(0.1, 0.3, 1)
            };
            need(capacity, 150.0)
        };
        let all = pods(f64::INFINITY, Balancing::LeastRequest);
        let few: Vec<f64> = [40.0, 8.0, 3.5, 2.0, 1.0]
            .map(|sharing| pods(sharing, Balancing::LeastRequest))
            .to_vec();
        assert!((few[0] - all).abs() < 1e-9);
        assert!(few.is_sorted(), "{few:?}");
        let separate = pods(f64::INFINITY, Balancing::Random);
        assert!((few[4] - separate).abs() < 1e-9, "{few:?}, {separate}");
    }

    pub(in crate::model) fn capacity(service: f64, target: f64, slots: u32) -> Capacity {
        Capacity {
            service,
            slots,
            batches: None,
            variability: 1.3,
            calibration: 1.0,
            target,
            queue_limit: None,
            wait: Wait::Mean,
            balancing: Balancing::Random,
            sharing: f64::INFINITY,
            slowest: None,
            max: 1000,
        }
    }

    fn need(capacity: Capacity, rate: f64) -> f64 {
        capacity.need(rate, 1.0, &mut UtilisationCache::default())
    }

    /// If three of eight pods take 0.4 s and the others 0.1 s, the mean is about 0.2 s.
    #[test]
    fn the_slowest_pods_get_as_few_requests_as_their_share_of_the_mean_wait_allows() {
        let uniform = capacity(0.2, 0.05, 4);
        let slowest = |pods: u32, slowdown| {
            let slowest = Some(SlowestPods {
                pods,
                slowdown,
                share: f64::from(pods) / 8.0,
            });
            need(Capacity { slowest, ..uniform }, 60.0)
        };
        let mean = need(uniform, 60.0);
        assert!(slowest(3, 2.0) > 1.5 * mean, "{}", slowest(3, 2.0));
        // If all pods are equal, they need no more; if fewer pods are slow, they may keep their requests longer.
        assert!((slowest(8, 1.0) - mean).abs() < 1e-9);
        assert!(slowest(1, 2.0) < slowest(3, 2.0));
        assert!(slowest(1, 1.1) <= mean);
        // A pod that would take more than fifteen others is not worth them.
        assert!(slowest(1, 4.0) > 2.0 * mean);
        assert!((slowest(1, 8.0) - mean).abs() < 1e-9);
    }

    #[test]
    fn the_need_is_proportional_to_the_load_in_any_unit_of_time() {
        for slots in [1, 2, 4, 8] {
            for target in [0.01, 0.05, 0.1, 0.3] {
                let one = need(capacity(0.1, target, slots), 60.0);
                assert!(one >= 60.0 * 0.1 / f64::from(slots), "{one}");
                for times in [0.01, 0.5, 3.0, 100.0] {
                    let larger = need(capacity(0.1, target, slots), 60.0 * times);
                    assert!((larger / (one * times) - 1.0).abs() < 1e-9);
                    let slower = capacity(0.1 * times, target * times, slots);
                    let slower = need(slower, 60.0 / times);
                    assert!((slower / one - 1.0).abs() < 1e-9, "{slower} is not {one}");
                }
            }
        }
    }
}
