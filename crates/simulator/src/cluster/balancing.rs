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

impl Balancing {
    /// Returns whether requests avoid loaded pods, so that all pods are nearly one queue.
    pub fn pooled(self) -> bool {
        self != Self::Random
    }

    /// Returns the index of the pod for a request that arrives at `at`; `None` if no pod is ready.
    pub(super) fn choose(
        self,
        pods: &mut [Pod],
        serving: &[usize],
        at: f64,
        random: &mut Random,
        metrics: &mut Metrics,
    ) -> Option<usize> {
        let any = |random: &mut Random| random.random_range(0..serving.len());
        if serving.is_empty() {
            return None;
        }
        match self {
            Self::Random => Some(serving[any(random)]),
            Self::LeastOutstanding => {
                let first = any(random);
                let mut best: Option<(usize, usize)> = None;
                for index in serving[first..].iter().chain(&serving[..first]) {
                    let pod = &mut pods[*index];
                    pod.settle(at, metrics);
                    if best.is_none_or(|(fewest, _)| pod.in_system() < fewest) {
                        best = Some((pod.in_system(), *index));
                    }
                    if pod.in_system() == 0 {
                        break;
                    }
                }
                best.map(|(_, index)| index)
            }
            Self::TwoChoices => {
                let (one, other) = (serving[any(random)], serving[any(random)]);
                for index in [one, other] {
                    pods[index].settle(at, metrics);
                }
                let better = pods[one].in_system() <= pods[other].in_system();
                Some(if better { one } else { other })
            }
        }
    }
}
