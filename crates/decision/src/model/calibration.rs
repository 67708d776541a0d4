//! Calibrates the queueing formula for a fleet (the factor κ).

use crate::snapshot::visit;

use super::evidence::{FEW_REQUESTS, SETTLE_SECONDS};
use super::rules::Rule;

/// The weight of a second: most of a change is learned in five minutes. At three times this rate, the noise of a
/// minute's waits changed the replicas.
const LEARNING_RATE: f64 = 0.003;

/// The time constant of the mean number of waiting requests, in seconds.
const WAITING_MEMORY: f64 = 60.0;

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

    /// Learns from one second.
    pub(crate) fn learn(&mut self, observation: &Observation) {
        self.calm = if observation.backlog {
            0
        } else {
            self.calm.saturating_add(1)
        };
        self.waiting += (observation.waiting - self.waiting) / WAITING_MEMORY;
        // By Little's law, the queue shows the wait of requests that the server does not time as well.
        let by_queue = self.waiting / observation.rate.max(1e-9);
        let waited = observation.waited.unwrap_or(by_queue);
        let same_pods = observation.pods == self.pods;
        self.pods = observation.pods;
        let Some(predicted) = observation.predicted.filter(|wait| *wait > 1e-6) else {
            return;
        };
        let usable = Rule::Calibration.applies()
            && f64::from(self.calm) >= SETTLE_SECONDS
            && same_pods
            && observation.steady
            && observation.completed >= FEW_REQUESTS
            && (0.1..0.92).contains(&observation.utilisation);
        if usable {
            let found = (waited / predicted).clamp(0.02, 10.0);
            let factor = self.factor * (LEARNING_RATE * (found / self.factor).ln()).exp();
            self.factor = factor.clamp(0.2, 3.0);
        }
    }
}
