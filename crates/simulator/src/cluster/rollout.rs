//! Rollouts, which replace all pods by those of a new version.

/// A rollout of another version of the server, as by a Deployment with `maxSurge` and `maxUnavailable` of 25%.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollout {
    /// The second in which it begins.
    pub at: usize,
    /// How many times as long as in the first version a request takes.
    pub factor: f64,
}

/// The share of the replicas that may exist in addition, rounded up, and that may be missing, rounded down: the default
/// of a Deployment is a quarter.
const SURGE_DIVISOR: usize = 4;

impl Rollout {
    /// Returns how many pods there may be in addition to the replicas.
    pub(super) fn max_surge(replicas: usize) -> usize {
        replicas.div_ceil(SURGE_DIVISOR)
    }

    /// Returns how many pods must be ready before one of the previous version is deleted.
    pub(super) fn min_ready(replicas: usize) -> usize {
        replicas - replicas / SURGE_DIVISOR
    }
}
