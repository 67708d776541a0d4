//! Chooses the pod of each request.

use rand::RngExt as _;

use super::balancing::Choice;
use super::metrics::Metrics;
use super::pod::Pod;
use super::random::Random;
use super::view::PodState;
use super::world::World;

#[derive(Debug)]
pub(super) struct Router {
    /// The pod of each open connection; 0 for none. Ids of pods start at 1.
    connections: Vec<u64>,
}

impl Router {
    pub(super) fn new(world: &World) -> Self {
        Self {
            connections: vec![0; world.clients.connections as usize],
        }
    }

    /// Draws the load balancer of a request.
    pub(super) fn balancer(world: &World, random: &mut Random) -> usize {
        match world.clients.balancers as usize {
            0 | 1 => 0,
            several => random.random_range(0..several),
        }
    }

    /// Returns the index of the pod for a request that arrives at `at`; `None` if no pod is ready.
    pub(super) fn route(
        &mut self,
        world: &World,
        pods: &mut [Pod],
        choice: Choice<'_>,
        random: &mut Random,
        metrics: &mut Metrics,
    ) -> Option<usize> {
        if self.connections.is_empty() {
            return world.balancing.choose(pods, choice, random, metrics);
        }
        let connection = random.random_range(0..self.connections.len());
        let known = pods.binary_search_by_key(&self.connections[connection], |pod| pod.id);
        if let Some(index) = known
            .ok()
            .filter(|index| pods[*index].state == PodState::Serving)
        {
            return Some(index);
        }
        let chosen = world.balancing.choose(pods, choice, random, metrics);
        self.connections[connection] = chosen.map_or(0, |index| pods[index].id);
        chosen
    }
}
