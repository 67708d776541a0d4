//! Chooses the pod of each request.

use rand::RngExt as _;

use super::balancing::Balancing;
use super::metrics::Metrics;
use super::pod::Pod;
use super::random::Random;
use super::spec::ClusterSpec;
use super::view::PodState;

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

#[derive(Debug)]
pub(super) struct Router {
    /// The pod of each open connection; 0 for none. Ids of pods start at 1.
    connections: Vec<u64>,
}

impl Router {
    pub(super) fn new(spec: &ClusterSpec) -> Self {
        Self {
            connections: vec![0; spec.clients.connections as usize],
        }
    }

    /// Draws the load balancer of a request.
    pub(super) fn balancer(spec: &ClusterSpec, random: &mut Random) -> usize {
        match spec.clients.balancers as usize {
            0 | 1 => 0,
            several => random.random_range(0..several),
        }
    }

    /// Returns the index of the pod for a request that arrives at `at`; `None` if no pod is ready.
    pub(super) fn route(
        &mut self,
        spec: &ClusterSpec,
        pods: &mut [Pod],
        choice: Choice<'_>,
        random: &mut Random,
        metrics: &mut Metrics,
    ) -> Option<usize> {
        if self.connections.is_empty() {
            return choose(spec.balancing, pods, choice, random, metrics);
        }
        let connection = random.random_range(0..self.connections.len());
        let known = pods.binary_search_by_key(&self.connections[connection], |pod| pod.id);
        if let Some(index) = known
            .ok()
            .filter(|index| pods[*index].state == PodState::Ready)
        {
            return Some(index);
        }
        let chosen = choose(spec.balancing, pods, choice, random, metrics);
        self.connections[connection] = chosen.map_or(0, |index| pods[index].id);
        chosen
    }
}

/// Returns the index of a pod; `None` if no pod is ready.
fn choose(
    balancing: Balancing,
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
    match balancing {
        Balancing::Random => Some(ready[any(random)]),
        Balancing::LeastOutstanding => {
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
        Balancing::TwoChoices => {
            let (one, other) = (ready[any(random)], ready[any(random)]);
            for index in [one, other] {
                pods[index].advance_to(at, metrics);
            }
            let better = pods[one].outstanding(balancer) <= pods[other].outstanding(balancer);
            Some(if better { one } else { other })
        }
    }
}
