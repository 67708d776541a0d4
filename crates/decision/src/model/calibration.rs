//! How far the formula is off for this fleet (κ, as a factor).

use crate::snapshot::Snapshot;

/// What is learnt in a second: five minutes for most of it. Three times faster, and the noise of one minute's waits
/// moved the size.
const PACE: f64 = 0.003;

/// Learning begins after so many seconds without a backlog: while one drains, waits say nothing of the formula.
/// Learning then drove the factor to its bound and cost a fifth more pods.
const CALM: u32 = 90;

/// Answers that a minute's mean wait is made of, at the least.
const ANSWERS: f64 = 30.0;

/// The factor and how long it has been calm.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    factor: f64,
    calm: u32,
    pods: u32,
}

/// One second, for learning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minute {
    /// The mean wait of the last minute's answers, in seconds, and how many they are.
    pub(crate) waited: f64,
    pub(crate) completed: f64,
    /// What the formula says without the factor, in seconds.
    pub(crate) predicted: f64,
    /// How busy the workers are, 0 to 1.
    pub(crate) busy: f64,
    /// The rates of the last ten seconds and of now agree.
    pub(crate) even: bool,
    /// Pods that serve.
    pub(crate) pods: u32,
    /// Requests have piled up.
    pub(crate) backlog: bool,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            factor: 1.0,
            calm: 0,
            pods: 0,
        }
    }
}

impl Calibration {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.f64(&mut self.factor);
        snapshot.u32(&mut self.calm);
        snapshot.u32(&mut self.pods);
    }

    /// Measured over predicted.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// Once a second.
    pub(crate) fn learn(&mut self, minute: &Minute) {
        self.calm = if minute.backlog {
            0
        } else {
            self.calm.saturating_add(1)
        };
        let same_pods = minute.pods == self.pods;
        self.pods = minute.pods;
        let learns = self.calm >= CALM
            && same_pods
            && minute.even
            && minute.completed >= ANSWERS
            && (0.1..0.92).contains(&minute.busy)
            && minute.predicted > 1e-6;
        if learns {
            let found = (minute.waited / minute.predicted).clamp(0.02, 10.0);
            let factor = self.factor * (PACE * (found / self.factor).ln()).exp();
            self.factor = factor.clamp(0.2, 3.0);
        }
    }
}
