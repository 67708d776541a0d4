//! A request in a pod.

/// A request that a pod has accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) arrived: f64,
    /// The time that a worker of speed 1 needs for this request alone.
    pub(super) service: f64,
}
