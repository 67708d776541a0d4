//! The service time and its variability.

use std::collections::VecDeque;

use super::totals::Totals;

/// Window of the mean, in seconds.
const WINDOW: usize = 300;
/// Minimum completed requests in the window.
const MIN_COMPLETED: f64 = 30.0;

/// Standard errors in the threshold that a change must exceed.
const ERRORS: f64 = 4.0;
/// Share of the mean in that threshold.
const SHARE: f64 = 0.1;

/// Number of groups of requests to keep for the variability.
const GROUPS: usize = 600;
/// Minimum groups for the variability.
const MIN_GROUPS: usize = 100;

/// How fast a new service time is detected.
#[derive(Clone, Copy, Debug)]
pub(super) struct DetectionWindows {
    /// Windows for detecting a change, in seconds, the shortest first.
    pub(super) windows: &'static [usize],
    /// Minimum completed requests in such a window.
    pub(super) min_completed: f64,
    /// Minimum completed requests in the long window while all workers are busy.
    pub(super) when_full: f64,
}

#[derive(Debug)]
pub(super) struct Service {
    detection: DetectionWindows,
    mean: Option<f64>,
    groups: VecDeque<(f64, f64)>,
    /// The squared coefficient of variation.
    pub(super) variation: f64,
}

impl Service {
    pub(super) fn new(detection: DetectionWindows) -> Self {
        Self {
            detection,
            mean: None,
            groups: VecDeque::new(),
            variation: 1.0,
        }
    }

    /// Returns the mean service time in seconds, once it is known.
    pub(super) fn measure(&mut self, totals: &Totals, full: bool) -> Option<f64> {
        let (long, _) = totals.window(WINDOW);
        let min_completed = if full {
            self.detection.when_full
        } else {
            MIN_COMPLETED
        };
        if long.completed >= min_completed {
            self.mean = Some(long.served() / long.completed);
        }
        let mean = self.mean?;
        for window in self.detection.windows {
            let (short, _) = totals.window(*window);
            if short.completed < self.detection.min_completed {
                continue;
            }
            let found = short.served() / short.completed;
            let error = mean * (self.variation.max(0.1) / short.completed).sqrt();
            if (found - mean).abs() > ERRORS * error + SHARE * mean {
                self.mean = Some(found);
                break;
            }
        }
        self.mean
    }

    pub(super) fn record(&mut self, groups: &[(f64, f64)]) {
        self.groups.extend(groups);
        let surplus = self.groups.len().saturating_sub(GROUPS);
        self.groups.drain(..surplus);
    }

    /// Computes the variation. The variance of a mean of `n` values is σ²/n, so σ² follows from the spread of the
    /// groups' means.
    pub(super) fn update_variation(&mut self, mean: f64) {
        if self.groups.len() < MIN_GROUPS {
            return;
        }
        let completed: f64 = self.groups.iter().map(|(completed, _)| completed).sum();
        let sum = |(completed, mean): &(f64, f64)| completed * mean;
        let centre = self.groups.iter().map(sum).sum::<f64>() / completed;
        let square = |(completed, mean): &(f64, f64)| completed * (mean - centre) * (mean - centre);
        let squares = self.groups.iter().map(square).sum::<f64>();
        let variance = squares / (self.groups.len() - 1) as f64;
        self.variation = (variance / mean / mean).clamp(0.05, 10.0);
    }
}
