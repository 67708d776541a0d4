//! How many pods a rate of requests takes.

use crate::policy::Balancing;

use super::queueing::{Wait, occupancy, pooled_pods};

/// Steps of five in a hundred: the size must not move with the last digit of a measured variability.
const STEPS: f64 = 20.0;

/// What a pod is and what is asked of it. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// How long a worker takes for a request.
    pub(crate) service: f64,
    /// Requests that a pod works on at a time.
    pub(crate) slots: u32,
    /// How uneven arrivals and service are, calibrated; 1: Poisson arrivals, exponential service.
    pub(crate) variability: f64,
    pub(crate) target: f64,
    pub(crate) wait: Wait,
    pub(crate) balancing: Balancing,
    /// With unequal pods and queues of their own, the slow ones decide: this much slower than the mean.
    pub(crate) slowest: f64,
    /// No more than this is ever asked for.
    pub(crate) most: u32,
}

/// Occupancies that were looked up last, for the target and for the limit of harm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Occupancies([Option<(Key, f64)>; 4]);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    step: f64,
    slots: u32,
    wait: Wait,
}

impl Capacity {
    /// Pods for `rate` arrivals a second at a wait of `times` the target, in fractions of a pod (whole ones with one
    /// common queue).
    pub(crate) fn need(&self, rate: f64, times: f64, known: &mut Occupancies) -> f64 {
        let load = rate * self.service;
        if self.balancing == Balancing::LeastRequest {
            let target = self.target * times / self.service;
            let pods = pooled_pods(
                self.wait,
                target,
                load,
                self.slots,
                self.variability,
                self.most,
            );
            return f64::from(pods);
        }
        let load = load * self.slowest;
        load / (f64::from(self.slots) * self.occupancy(times, known)).max(1e-9)
    }

    /// How busy a pod's workers may be.
    pub(crate) fn occupancy(&self, times: f64, known: &mut Occupancies) -> f64 {
        let service = self.service * self.slowest;
        let ratio = (self.variability * service / (self.target * times)).max(1e-9);
        let key = Key {
            step: (ratio.ln() * STEPS).round(),
            slots: self.slots,
            wait: self.wait,
        };
        known.get(key, || {
            occupancy(self.wait, 1.0, self.slots, (key.step / STEPS).exp())
        })
    }

    /// What the formula says of the wait with `pods` pods, in seconds.
    pub(crate) fn predicted(&self, rate: f64, pods: f64) -> f64 {
        let load = rate * self.service;
        let wait = match self.balancing {
            Balancing::Random => self.wait.at(load / pods, self.slots, self.variability),
            Balancing::LeastRequest => {
                let all = super::queueing::whole(pods).saturating_mul(self.slots);
                self.wait.at(load, all.clamp(1, 100_000), self.variability)
            }
        };
        wait * self.service
    }
}

impl Occupancies {
    fn get(&mut self, key: Key, find: impl FnOnce() -> f64) -> f64 {
        let found = self.0.iter().flatten().find(|(known, _)| *known == key);
        if let Some((_, occupancy)) = found {
            return *occupancy;
        }
        let occupancy = find();
        self.0.rotate_right(1);
        self.0[0] = Some((key, occupancy));
        occupancy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(service: f64, target: f64, slots: u32) -> Capacity {
        Capacity {
            service,
            slots,
            variability: 1.3,
            target,
            wait: Wait::Mean,
            balancing: Balancing::Random,
            slowest: 1.0,
            most: 1000,
        }
    }

    fn need(capacity: Capacity, rate: f64) -> f64 {
        capacity.need(rate, 1.0, &mut Occupancies::default())
    }

    #[test]
    fn needs_grow_as_the_load_and_know_no_unit_of_time() {
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
