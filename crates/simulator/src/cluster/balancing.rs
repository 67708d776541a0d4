//! Load balancing.

use rand::RngExt as _;

use super::metrics::Metrics;
use super::pod::Pod;
use super::random::Random;

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

/// The input of a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// The indexes of the ready pods.
    pub(super) ready: &'a [usize],
    /// The time of the arrival.
    pub(super) at: f64,
    /// The load balancer.
    pub(super) balancer: usize,
}

impl Balancing {
    /// Returns whether requests avoid loaded pods, so that all pods are nearly one queue.
    pub fn pooled(self) -> bool {
        self != Self::Random
    }

    /// Returns the index of a pod; `None` if no pod is ready.
    pub(super) fn choose(
        self,
        pods: &mut [Pod],
        choice: Choice<'_>,
        random: &mut Random,
        metrics: &mut Metrics,
    ) -> Option<usize> {
        let Choice {
            ready,
            at,
            balancer,
        } = choice;
        let any = |random: &mut Random| random.random_range(0..ready.len());
        if ready.is_empty() {
            return None;
        }
        match self {
            Self::Random => Some(ready[any(random)]),
            Self::LeastOutstanding => {
                let first = any(random);
                let mut best: Option<(usize, usize)> = None;
                for index in ready[first..].iter().chain(&ready[..first]) {
                    let pod = &mut pods[*index];
                    pod.advance_to(at, metrics);
                    let outstanding = pod.outstanding(balancer);
                    if best.is_none_or(|(fewest, _)| outstanding < fewest) {
                        best = Some((outstanding, *index));
                    }
                    if outstanding == 0 {
                        break;
                    }
                }
                best.map(|(_, index)| index)
            }
            Self::TwoChoices => {
                let (one, other) = (ready[any(random)], ready[any(random)]);
                for index in [one, other] {
                    pods[index].advance_to(at, metrics);
                }
                let better = pods[one].outstanding(balancer) <= pods[other].outstanding(balancer);
                Some(if better { one } else { other })
            }
        }
    }
}
