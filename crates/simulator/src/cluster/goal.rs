//! The goal of a controller.

/// The target wait and the limits of the replica count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The target for the mean wait, in seconds.
    pub target: f64,
    /// The minimum number of pods.
    pub min: u32,
    /// The maximum number of pods.
    pub max: u32,
}

impl Goal {
    /// A second is violated, and a request bad, if the wait exceeds the target by this factor.
    pub const VIOLATION_FACTOR: f64 = 4.0;

    /// Limits a replica count to the minimum and maximum.
    pub fn clamp(&self, size: u32) -> u32 {
        size.min(self.max).max(self.min)
    }
}
