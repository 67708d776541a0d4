//! The start of a step of the load.

use std::time::{SystemTime, UNIX_EPOCH};

use super::StepSummary;

/// The departure of a step's first request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepStart {
    /// The index of the step, from 0.
    pub step: usize,
    /// Requests per second.
    pub rate: f64,
    /// Seconds from the start of the load.
    pub start_s: f64,
    /// The time for measurements in this process.
    pub monotonic: std::time::Instant,
    /// The time for measurements by other processes.
    pub system: SystemTime,
}

impl StepStart {
    pub(super) fn summary(&self) -> StepSummary {
        StepSummary {
            step: self.step,
            rate: self.rate,
            start_s: self.start_s,
            unix_seconds: self.unix_seconds(),
        }
    }

    /// Returns the seconds since 1970 on the system clock.
    pub fn unix_seconds(&self) -> f64 {
        let since = self.system.duration_since(UNIX_EPOCH);
        // A time before 1970 means that the clock is wrong.
        since.map_or(0.0, |s| s.as_secs_f64())
    }
}
