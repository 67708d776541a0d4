//! Load balancing.

/// The load balancing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// A random pod.
    Random,
    /// The pod with the fewest requests; a random one of several such pods.
    LeastOutstanding,
    /// The less loaded of two random pods.
    TwoChoices,
}

impl Balancing {
    /// Returns whether requests avoid loaded pods, so that all pods are nearly one queue.
    pub fn pooled(self) -> bool {
        self != Self::Random
    }
}
