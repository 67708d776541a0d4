//! Who knows the future.

use super::Controller;
use super::reference_model::formulas::{mean_wait, occupancy};
use crate::cluster::{View, World};
use crate::traffic::Traffic;

/// The rate is known so many seconds ahead: the longest that a pod takes to start.
const AHEAD: usize = 120;

/// A rate is the mean over so many seconds.
const MEAN: usize = 20;

/// It decides so often, in seconds.
const EVERY: usize = 5;

/// Above this it plans no pod.
const FULLEST: f64 = 0.98;

/// Knows the rate of the next two minutes, but not its noise, and sizes exactly to the target by the queueing formula:
/// about the least that the target costs.
///
/// Not a bound: who pays for head-room has fewer violations than it, and it does not know of faults.
#[derive(Debug)]
pub struct Oracle {
    /// Arrivals a second, times how much longer than usual they take.
    rates: Vec<f64>,
    service: f64,
    pooled: bool,
}

impl Oracle {
    /// For this world.
    pub fn new(world: &World) -> Self {
        let rates: Vec<f64> = match &world.traffic {
            Traffic::Rates(rates) => rates.clone(),
            Traffic::Counts(counts) => {
                let mean = |second: usize| {
                    let around =
                        second.saturating_sub(MEAN / 2)..counts.len().min(second + MEAN / 2);
                    let sum: f64 = counts[around].iter().copied().map(f64::from).sum();
                    sum / MEAN as f64
                };
                (0..counts.len()).map(mean).collect()
            }
        };
        let rates = rates.iter().enumerate();
        Self {
            rates: rates
                .map(|(second, rate)| rate * world.slowness(second))
                .collect(),
            service: world.service,
            pooled: world.balancing.pooled(),
        }
    }
}

impl Controller for Oracle {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        if !view.second.is_multiple_of(EVERY) || view.second >= self.rates.len() {
            return None;
        }
        let coming = &self.rates[view.second..self.rates.len().min(view.second + AHEAD)];
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
        let highest = coming.windows(MEAN.min(coming.len()).max(1)).map(mean);
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
            let most = occupancy(target, self.service, view.workers, FULLEST);
            let needed = rate * self.service / (f64::from(view.workers) * most);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of pods, and a double saturates"
            )]
            let needed = needed.ceil() as u32;
            pods = needed;
        }
        Some(view.goal.clamp(pods))
    }
}
