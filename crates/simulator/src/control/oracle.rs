//! A controller that knows the future arrival rate.

use super::Controller;
use super::formulas::{mean_wait, occupancy};
use crate::cluster::{ClusterSpec, View};
use crate::quantity::to_u32_saturating;
use crate::traffic::Traffic;

/// How far ahead the rate is known, in seconds: the default maximum start delay.
const LOOKAHEAD_SECONDS: usize = 120;

/// Window of the mean that turns a trace into rates, in seconds.
const MEAN_SECONDS: usize = 20;

/// Interval of decisions, in seconds.
const INTERVAL: usize = 5;

/// Maximum planned utilisation.
const MAX_UTILISATION: f64 = 0.98;

/// Knows the arrival rate of the next two minutes, but not its noise, and computes the replicas that exactly meet the
/// target by the queueing formula. This is about the minimum cost of the target.
///
/// It is not a lower bound: a controller with head-room has fewer violations, and the oracle does not know of faults.
#[derive(Debug)]
pub struct Oracle {
    /// The arrivals of each second, multiplied by the factor on the service time.
    rates: Vec<f64>,
    service: f64,
    pooled: bool,
}

impl Oracle {
    /// Creates the oracle for this cluster.
    pub fn new(spec: &ClusterSpec) -> Self {
        let rates: Vec<f64> = match &spec.traffic {
            Traffic::Rates(rates) => rates.iter().map(|load| spec.arrival_rate(*load)).collect(),
            Traffic::Counts(counts) => {
                let mean = |second: usize| {
                    let around = second.saturating_sub(MEAN_SECONDS / 2)
                        ..counts.len().min(second + MEAN_SECONDS / 2);
                    let sum: f64 = counts[around].iter().copied().map(f64::from).sum();
                    sum / MEAN_SECONDS as f64
                };
                (0..counts.len()).map(mean).collect()
            }
        };
        let rates = rates.iter().enumerate();
        Self {
            rates: rates
                .map(|(second, rate)| {
                    rate * spec.service_time_factor(second) * spec.version_factor(second)
                })
                .collect(),
            service: spec.service,
            pooled: spec.balancing.pooled(),
        }
    }
}

impl Controller for Oracle {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        if !view.second.is_multiple_of(INTERVAL) || view.second >= self.rates.len() {
            return None;
        }
        let coming =
            &self.rates[view.second..self.rates.len().min(view.second + LOOKAHEAD_SECONDS)];
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
        let highest = coming
            .windows(MEAN_SECONDS.min(coming.len()).max(1))
            .map(mean);
        let rate = highest.fold(0.0, f64::max);
        let target = view.goal.target;
        let mut pods = 1;
        if self.pooled {
            while mean_wait(rate, self.service, view.workers, f64::from(pods), true) > target
                && pods < view.goal.max
            {
                pods += 1;
            }
        } else {
            let most = occupancy(target, self.service, view.workers, MAX_UTILISATION);
            let needed = rate * self.service / (f64::from(view.workers) * most);
            pods = to_u32_saturating(needed.ceil());
        }
        Some(view.goal.clamp(pods))
    }
}
