//! How long a worker takes for a request, and how much that varies, from counters alone.

use crate::snapshot::Snapshot;

use super::second_buckets::{Delta, SecondBuckets, Window};

/// The window that a service time is taken over while nothing changes, in seconds.
const CALM: u64 = 300;

/// Answers that make a service time, and how few do while every worker is busy anyway.
const ANSWERS: f64 = 30.0;
const ANSWERS_WHEN_FULL: f64 = 8.0;

/// Windows in which a changed service time is looked for, in seconds, and the answers that such a window needs.
const QUICK: [u64; 4] = [3, 5, 10, 20];
const QUICK_ANSWERS: f64 = 40.0;

/// A change counts beyond so many standard errors and this share.
const ERRORS: f64 = 4.0;
const SHARE: f64 = 0.1;

/// The memory of the variability, in seconds. With 600 groups of answers, which a fleet of 20 gives in 30 s, it
/// swung by 30 %, and the size with it.
const MEMORY: f64 = 120.0;

/// Groups of answers before the variability is believed.
const GROUPS: f64 = 50.0;

/// An hour's half-life for what is kept of answers when the last minutes have few.
const SLOW: f64 = 3600.0;

/// The service time and its variability.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Seconds; 0: not known.
    seconds: f64,
    /// Squared coefficient of variation of service times.
    variation: f64,
    groups: f64,
    squares: f64,
    /// Answers and their times of the last hours.
    slow_completed: f64,
    slow_served: f64,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            seconds: 0.0,
            variation: 1.0,
            groups: 0.0,
            squares: 0.0,
            slow_completed: 0.0,
            slow_served: 0.0,
        }
    }
}

impl Service {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let Self {
            seconds,
            variation,
            groups,
            squares,
            slow_completed,
            slow_served,
        } = self;
        for number in [
            seconds,
            variation,
            groups,
            squares,
            slow_completed,
            slow_served,
        ] {
            snapshot.f64(number);
        }
    }

    /// Takes what one pod answered between two readings. The mean of `n` times has a variance of σ²/n, so the spread
    /// of means gives σ² back.
    pub(crate) fn learn(&mut self, delta: &Delta) {
        if delta.completed <= 0.0 {
            return;
        }
        self.slow_completed += delta.completed;
        self.slow_served += delta.served;
        if self.seconds > 0.0 {
            let off = delta.served / delta.completed / self.seconds - 1.0;
            self.groups += 1.0;
            self.squares += delta.completed * off * off;
        }
    }

    /// Once a second.
    pub(crate) fn fade(&mut self) {
        self.groups *= 1.0 - 1.0 / MEMORY;
        self.squares *= 1.0 - 1.0 / MEMORY;
        self.slow_completed *= 1.0 - std::f64::consts::LN_2 / SLOW;
        self.slow_served *= 1.0 - std::f64::consts::LN_2 / SLOW;
    }

    /// Once every ten seconds: a variability that moves with every answer would move the size.
    pub(crate) fn settle(&mut self) {
        if self.groups > GROUPS {
            self.variation = (self.squares / self.groups).clamp(0.05, 10.0);
        }
    }

    /// Looks again. `full`: more requests are in the fleet than it has workers. Gives the service time in seconds,
    /// if there is one.
    pub(crate) fn measure(&mut self, second_buckets: &SecondBuckets, full: bool) -> Option<f64> {
        let calm = second_buckets.window(CALM);
        let enough = if full { ANSWERS_WHEN_FULL } else { ANSWERS };
        if calm.completed >= enough {
            self.seconds = mean(&calm);
        } else if self.slow_completed >= ANSWERS_WHEN_FULL {
            self.seconds = self.slow_served / self.slow_completed;
        }
        if self.seconds <= 0.0 {
            return None;
        }
        for window in QUICK.map(|seconds| second_buckets.window(seconds)) {
            if window.completed < QUICK_ANSWERS {
                continue;
            }
            let found = mean(&window);
            let error = self.seconds * (self.variation.max(0.1) / window.completed).sqrt();
            if (found - self.seconds).abs() > ERRORS * error + SHARE * self.seconds {
                self.seconds = found;
                break;
            }
        }
        Some(self.seconds)
    }

    /// The service time as last measured, in seconds.
    pub(crate) fn known(&self) -> Option<f64> {
        (self.seconds > 0.0).then_some(self.seconds)
    }

    /// The squared coefficient of variation of service times; 1 until it is known.
    pub(crate) fn variation(&self) -> f64 {
        self.variation
    }
}

fn mean(window: &Window) -> f64 {
    window.served / window.completed
}
