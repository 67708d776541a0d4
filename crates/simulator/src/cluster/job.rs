//! A request.

/// A request of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// The time at which the client sent it first.
    pub(super) sent: f64,
    /// The time at which it arrived in a pod, or arrives.
    pub(super) arrived: f64,
    /// The time that a worker of speed 1 needs for this request alone.
    pub(super) service: f64,
    /// Whether TorchServe counts its wait and sojourn: not those of gRPC.
    pub(super) timed: bool,
    /// The load balancer that it passes.
    pub(super) balancer: usize,
    /// How often it has failed.
    pub(super) failures: u32,
    /// Whether its client has given up on it. Only its pod still has it.
    pub(super) abandoned: bool,
}
