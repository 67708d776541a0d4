//! Calibrates the queueing formula for a fleet (the factor κ).

use crate::policy::Balancing;
use crate::snapshot::visit;

use super::capacity::Capacity;
use super::evidence::{FEW_REQUESTS, SETTLE_SECONDS};
use super::rules::Rule;
use super::wait_percentile::{Service, WaitPercentile};

/// The weight of a second: most of a change is learned in five minutes. At three times this rate, the noise of a
/// minute's waits changed the replicas.
pub(super) const LEARNING_RATE: f64 = 0.003;

/// The highest factor. Waits beyond it are outside of the envelope.
pub(super) const HIGHEST_FACTOR: f64 = 3.0;

/// The time constant of the mean number of waiting requests, in seconds.
const WAITING_MEMORY: f64 = 60.0;

/// A percentile of the wait counts as at least this share of the target latency: the formula's falls steeply to zero,
/// and its ratio to the measured one has no meaning there.
const MIN_TARGET_WAIT: f64 = 0.1;

/// The factor, and the state that decides when to learn.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    factor: f64,
    /// Seconds without a backlog.
    calm: u32,
    pods: u32,
    /// The mean number of waiting requests in the last minute.
    waiting: f64,
}

visit!(Calibration: factor, calm, pods, waiting);

/// What one second adds. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// The mean wait of the requests that completed in the last minute, if the server times all of them, and the number
    /// of these requests.
    pub(crate) waited: Option<f64>,
    pub(crate) completed: f64,
    /// The requests that wait now, and the arrivals per second.
    pub(crate) waiting: f64,
    pub(crate) rate: f64,
    /// The wait that the formula predicts without the factor, if it is known.
    pub(crate) predicted: Option<f64>,
    /// The utilisation, 0 to 1.
    pub(crate) utilisation: f64,
    /// Whether the rates of the last ten seconds and of now agree.
    pub(crate) steady: bool,
    /// Ready pods.
    pub(crate) pods: u32,
    /// Whether there is a backlog.
    pub(crate) backlog: bool,
}

/// The queues that show the measured percentile, and the formula for it without the factor.
#[derive(Debug)]
pub(super) struct PercentileWait<'a> {
    pub(super) queues: &'a mut WaitPercentile,
    pub(super) service: Service,
    pub(super) formula: &'a Capacity,
}

/// The waits of a second that were learned from, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) measured: f64,
    /// The wait that the formula predicts without the factor.
    pub(super) predicted: f64,
}

impl Waits {
    /// Returns the measured over the predicted wait.
    pub(super) fn ratio(self) -> f64 {
        (self.measured / self.predicted.max(1e-6)).clamp(0.02, 10.0)
    }
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            factor: 1.0,
            calm: 0,
            pods: 0,
            waiting: 0.0,
        }
    }
}

impl Calibration {
    /// Returns the factor: measured over predicted wait.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// Learns from one second: from the mean waits, or from the percentile if the target applies to one. Returns the
    /// waits if they can be compared with the formula.
    pub(super) fn learn(
        &mut self,
        observation: &Observation,
        percentile: Option<PercentileWait<'_>>,
    ) -> Option<Waits> {
        let is_usable = self.is_usable(observation);
        let Some(PercentileWait {
            queues,
            service,
            formula,
        }) = percentile
        else {
            return self.learn_mean(observation, is_usable);
        };
        if formula.balancing == Balancing::LeastRequest {
            // The number of pods that share a queue is learned instead. A factor of another policy would stay.
            self.factor = 1.0;
        }
        queues.end_second(is_usable.then_some(observation.utilisation), &service);
        let (wait, utilisation) = queues.steady(&service).filter(|_| is_usable)?;
        let pods = f64::from(observation.pods.max(1));
        let rate = utilisation * pods * f64::from(formula.slots) / formula.service;
        let waits = Waits {
            measured: wait,
            predicted: formula.predicted(rate, pods),
        };
        let least = MIN_TARGET_WAIT * formula.target;
        let compared = Waits {
            measured: wait.max(least),
            predicted: waits.predicted.max(least),
        };
        match formula.balancing {
            Balancing::Random => self.learn_factor(compared),
            Balancing::LeastRequest => {
                queues.change_sharing(1.0 / step_to(1.0, compared.ratio()), pods);
            }
        }
        Some(waits)
    }

    /// Returns whether the waits follow the formula in this second.
    fn is_usable(&mut self, observation: &Observation) -> bool {
        self.calm = if observation.backlog {
            0
        } else {
            self.calm.saturating_add(1)
        };
        self.waiting += (observation.waiting - self.waiting) / WAITING_MEMORY;
        let same_pods = observation.pods == self.pods;
        self.pods = observation.pods;
        Rule::Calibration.applies()
            && f64::from(self.calm) >= SETTLE_SECONDS
            && same_pods
            && observation.steady
            && observation.completed >= FEW_REQUESTS
            && (0.1..0.92).contains(&observation.utilisation)
    }

    fn learn_mean(&mut self, observation: &Observation, is_usable: bool) -> Option<Waits> {
        // By Little's law, the queue shows the wait of requests that the server does not time as well.
        let by_queue = self.waiting / observation.rate.max(1e-9);
        let waits = Waits {
            measured: observation.waited.unwrap_or(by_queue),
            predicted: observation.predicted.filter(|_| is_usable)?,
        };
        self.learn_factor(waits);
        Some(waits)
    }

    fn learn_factor(&mut self, waits: Waits) {
        if waits.predicted > 1e-6 {
            let factor = self.factor * step_to(self.factor, waits.ratio());
            self.factor = factor.clamp(0.2, HIGHEST_FACTOR);
        }
    }
}

/// Returns the factor by which a value changes in a second if another one was found.
fn step_to(value: f64, found: f64) -> f64 {
    (LEARNING_RATE * (found.clamp(0.02, 10.0) / value).ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::capacity::tests::capacity;

    /// A size was wrong by 69% for good after the target had changed from a mean to a percentile.
    #[test]
    fn a_factor_ends_where_the_number_of_pods_that_share_a_queue_is_learned() {
        let mut calibration = Calibration {
            factor: 2.0,
            ..Calibration::default()
        };
        let observation = Observation {
            waited: Some(0.1),
            completed: 1000.0,
            waiting: 1.0,
            rate: 10.0,
            predicted: Some(0.1),
            utilisation: 0.5,
            steady: true,
            pods: 2,
            backlog: false,
        };
        let mut queues = WaitPercentile::default();
        for (balancing, factor) in [(Balancing::Random, 2.0), (Balancing::LeastRequest, 1.0)] {
            let percentile = PercentileWait {
                queues: &mut queues,
                service: Service {
                    seconds: 0.1,
                    slots: 1,
                    variation: 1.0,
                    beyond: 0.05,
                },
                formula: &Capacity {
                    balancing,
                    ..capacity(0.1, 0.1, 1)
                },
            };
            calibration.learn(&observation, Some(percentile));
            assert!((calibration.factor() - factor).abs() < 1e-9);
        }
    }
}
