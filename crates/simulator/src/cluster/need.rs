//! The pods that a load needs.

use super::spec::ClusterSpec;
use crate::control::formulas::{mean_wait_of, occupancy};
use crate::quantity::to_u32_saturating;
use crate::traffic::Traffic;

/// The shortest window of the highest arrival rate, in seconds, and its length in service times. In less time, requests
/// are a backlog and not a rate.
const WINDOW: f64 = 60.0;
const WINDOW_SERVICES: f64 = 10.0;

/// Maximum planned utilisation.
const MAX_UTILISATION: f64 = 0.92;

/// The share of the target that remains at least after subtracting the batch delay.
const MIN_TARGET_SHARE: f64 = 0.1;

impl ClusterSpec {
    /// Returns the number of healthy pods that meet the target at the highest arrival rate, by the queueing formula.
    ///
    /// The highest rate is a mean over a minute, or over ten service times if that is more. Batches are full, and
    /// workers that share a device are all busy. Faults are not considered.
    pub fn need(&self) -> u32 {
        let service = self.batch_seconds();
        let batches = self.highest_rate() / f64::from(self.batching.size.max(1));
        let pods = if self.balancing.pooled() {
            let mut pods = (batches * service / f64::from(self.workers) / MAX_UTILISATION)
                .ceil()
                .max(1.0);
            let variability = self.variability();
            while mean_wait_of(batches, service, self.workers, pods, variability, true)
                > self.queue_target()
                && pods < f64::from(self.goal.max)
            {
                pods += 1.0;
            }
            pods
        } else {
            (batches * service / (f64::from(self.workers) * self.utilisation())).ceil()
        };
        self.goal.clamp(to_u32_saturating(pods).max(1))
    }

    /// Returns the maximum utilisation at which a pod with its own queue meets the target by the queueing formula.
    pub fn utilisation(&self) -> f64 {
        let target = self.queue_target() / self.variability();
        occupancy(target, self.batch_seconds(), self.workers, MAX_UTILISATION)
    }

    /// Returns the requests per second that a pod completes at [`Self::utilisation`].
    pub fn requests_per_pod(&self) -> f64 {
        let batches = self.utilisation() * f64::from(self.workers) / self.batch_seconds();
        batches * f64::from(self.batching.size.max(1))
    }

    /// Returns how long a worker takes for a full batch while all workers of its pod are busy, in seconds.
    fn batch_seconds(&self) -> f64 {
        let contention = 1.0 + self.contention * f64::from(self.workers.saturating_sub(1));
        let batch = self.batching.size.max(1) as usize;
        self.service * self.batching.factor(batch) * contention
    }

    /// Returns the target without the batch delay, in seconds.
    fn queue_target(&self) -> f64 {
        let batches = self.batching.size > 1;
        let delay = if batches { self.batching.delay } else { 0.0 };
        (self.objective() - delay).max(MIN_TARGET_SHARE * self.objective())
    }

    /// Returns the mean of the squared coefficients of variation of the interarrival and service times.
    fn variability(&self) -> f64 {
        f64::midpoint(1.0, self.squared_cv())
    }

    /// Returns the highest mean of the arrival rate, multiplied by the factor on the service time, per second.
    fn highest_rate(&self) -> f64 {
        let seconds = self.traffic.seconds();
        let rate = |second: usize| {
            let load = match &self.traffic {
                Traffic::Rates(rates) => self.arrival_rate(rates[second]),
                Traffic::Counts(counts) => f64::from(counts[second]),
            };
            let requests = load + f64::from(self.burst_requests(second));
            let factor = self.service_time_factor(second) * self.version_factor(second);
            requests * self.arriving_share(second) * factor
        };
        let rates: Vec<f64> = (0..seconds).map(rate).collect();
        let window = (WINDOW_SERVICES * self.service).max(WINDOW).ceil();
        let window = (to_u32_saturating(window) as usize).min(seconds).max(1);
        let mut sum: f64 = rates[..window.min(seconds)].iter().sum();
        let mut highest = sum;
        for second in window..seconds {
            sum += rates[second] - rates[second - window];
            highest = highest.max(sum);
        }
        highest / window as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Balancing, Batching, Burst, Goal};

    fn need(change: impl FnOnce(&mut ClusterSpec)) -> u32 {
        let mut spec = ClusterSpec {
            traffic: Traffic::Rates(vec![100.0; 600]),
            goal: Goal {
                target: 0.05,
                min: 1,
                max: 1000,
            },
            ..ClusterSpec::default()
        };
        change(&mut spec);
        spec.need()
    }

    #[test]
    fn the_need_follows_the_formula() {
        // 10 busy workers at 75% utilisation.
        assert_eq!(need(|_| {}), 4);
        assert_eq!(need(|spec| spec.workers = 1), 30);
        // One queue: 12 workers wait 37 ms.
        assert_eq!(need(|spec| spec.balancing = Balancing::LeastOutstanding), 3);
        assert_eq!(
            need(|spec| spec.traffic = Traffic::Rates(vec![0.0; 600])),
            1
        );
    }

    #[test]
    fn full_batches_reduce_the_need() {
        let batching = Batching {
            size: 8,
            delay: 0.0,
            growth: 0.25,
        };
        assert!(need(|spec| spec.batching = batching) < 4);
    }

    #[test]
    fn a_burst_counts_over_ten_service_times() {
        let bursts = vec![Burst {
            requests: 600,
            at: 100,
            every: None,
        }];
        let with = |service: f64| {
            need(|spec| {
                spec.traffic = Traffic::Rates(vec![0.0; 600]);
                spec.bursts.clone_from(&bursts);
                spec.service = service;
                spec.goal.target = service / 2.0;
            })
        };
        // 10 requests per second for a minute are 10 busy workers.
        assert_eq!(with(1.0), 4);
        // 600 requests of 20 s within 200 s are 60 busy workers.
        assert_eq!(with(20.0), 21);
    }
}
