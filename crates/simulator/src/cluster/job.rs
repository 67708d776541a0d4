//! A request in a pod.

/// A request that a pod has accepted. The queue is first-in first-out, so its times are known at arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) arrived: f64,
    pub(super) waits: f64,
    pub(super) service: f64,
    pub(super) ends: f64,
}
