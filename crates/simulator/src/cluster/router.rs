//! Chooses the pod of each request.

use rand::RngExt as _;

use super::balancing::Choice;
use super::metrics::Metrics;
use super::pod::Pod;
use super::random::Random;
use super::spec::ClusterSpec;
use super::view::PodState;

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
            return spec.balancing.choose(pods, choice, random, metrics);
        }
        let connection = random.random_range(0..self.connections.len());
        let known = pods.binary_search_by_key(&self.connections[connection], |pod| pod.id);
        if let Some(index) = known
            .ok()
            .filter(|index| pods[*index].state == PodState::Ready)
        {
            return Some(index);
        }
        let chosen = spec.balancing.choose(pods, choice, random, metrics);
        self.connections[connection] = chosen.map_or(0, |index| pods[index].id);
        chosen
    }
}
