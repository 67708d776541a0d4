//! The envelope: whether the measured waits show that the queueing formula does not describe the fleet.

use crate::snapshot::visit;

use super::calibration::{HIGHEST_FACTOR, LEARNING_RATE, Waits};
use super::rules::Rule;
use crate::numbers::to_f32;

/// Outside of the envelope, the waits must fall below this multiple of the predicted ones to end that. It is below
/// [`HIGHEST_FACTOR`] by more than the noise of five minutes.
const INSIDE_BELOW: f64 = 2.0;

/// Waits below this share of the target say nothing against the formula: the fleet is larger than it has to be.
const NEGLIGIBLE_SHARE: f64 = 0.1;

/// A fleet with a lower utilisation is nearly idle. The calibration does not learn from it.
pub(super) const IDLE_UTILISATION: f64 = 0.1;

/// Whether the fleet is outside of the envelope, and the evidence for it.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// The mean of the measured over the predicted waits, without the calibration. While the fleet is inside of the
    /// envelope, waits that keep the target count as predicted.
    ratio: f32,
    is_outside: bool,
}

visit!(Envelope: ratio, is_outside);

impl Default for Envelope {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            is_outside: false,
        }
    }
}

impl Envelope {
    /// Returns the state of a fleet that was outside before a restart, until the waits have been measured again.
    pub(super) fn outside() -> Self {
        Self {
            ratio: to_f32(HIGHEST_FACTOR),
            is_outside: true,
        }
    }

    /// Learns from one second: the waits that the calibration learned from, if any, the target in seconds, and whether
    /// the fleet is too idle to learn from.
    pub(super) fn learn(&mut self, waits: Option<Waits>, target: f64, is_nearly_idle: bool) {
        let matters = if self.is_outside {
            NEGLIGIBLE_SHARE * target
        } else {
            target
        };
        let ratio = match waits {
            Some(waits) if waits.measured > matters => waits.ratio(),
            Some(waits) => waits.ratio().min(1.0),
            None if is_nearly_idle => 1.0,
            None => return,
        };
        let known = f64::from(self.ratio);
        let ratio = known * (LEARNING_RATE * (ratio / known).ln()).exp();
        self.ratio = to_f32(ratio);
        let limit = if self.is_outside {
            INSIDE_BELOW
        } else {
            HIGHEST_FACTOR
        };
        self.is_outside = ratio > limit && Rule::Envelope.applies();
    }

    /// Returns the measured over the predicted waits if the fleet is outside of the envelope.
    pub(super) fn exceeded_by(&self) -> Option<f64> {
        self.is_outside.then_some(self.ratio.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: f64 = 0.05;

    /// Learns from so many seconds of waits and returns the seconds in which the fleet is outside of the envelope.
    fn outside(envelope: &mut Envelope, seconds: usize, measured: f64, predicted: f64) -> usize {
        let waits = Waits {
            measured,
            predicted,
        };
        let mut learn = || {
            envelope.learn(Some(waits), TARGET, false);
            envelope.exceeded_by().is_some()
        };
        (0..seconds).filter(|_| learn()).count()
    }

    #[test]
    fn waits_beyond_the_calibration_that_miss_the_target_are_outside_after_minutes() {
        let outside_after = |measured, predicted| {
            7200 - outside(&mut Envelope::default(), 7200, measured, predicted)
        };
        // The calibration corrects three times the prediction, and a target that is kept needs no other formula.
        assert_eq!(outside_after(0.058, 0.02), 7200);
        assert_eq!(outside_after(0.049, 0.001), 7200);
        let minutes = outside_after(0.08, 0.02) / 60;
        assert!((5..=10).contains(&minutes), "{minutes}");
        let minutes = outside_after(2.0, 0.02) / 60;
        assert!((3..=5).contains(&minutes), "{minutes}");
    }

    #[test]
    fn it_ends_once_the_formula_holds_again_or_hardly_any_request_waits() {
        let mut envelope = Envelope::default();
        outside(&mut envelope, 7200, 0.5, 0.02);
        // More pods keep the target, and the formula is still wrong.
        assert_eq!(outside(&mut envelope, 7200, 0.03, 0.001), 7200);
        let minutes = outside(&mut envelope.clone(), 7200, 0.03, 0.03) / 60;
        assert!((5..=10).contains(&minutes), "{minutes}");
        let minutes = outside(&mut envelope.clone(), 7200, 0.004, 0.0001) / 60;
        assert!((5..=10).contains(&minutes), "{minutes}");
        // Nothing is learned from a backlog, and a fleet that is nearly idle is inside.
        for _ in 0..7200 {
            envelope.learn(None, TARGET, false);
        }
        assert!(envelope.exceeded_by().is_some());
        for _ in 0..600 {
            envelope.learn(None, TARGET, true);
        }
        assert!(envelope.exceeded_by().is_none());
    }
}
