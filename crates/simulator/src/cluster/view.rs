//! What a controller may see.

use super::pod::PodState;
use super::world::Goal;

/// What a controller may see once a second.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Seconds since the beginning, from 1: a second is shown when it is over.
    pub second: usize,
    /// All pods, in the order in which they were made.
    pub pods: &'a [PodView],
    /// How many there are to be.
    pub replicas: u32,
    /// All pods are silent.
    pub silent: bool,
    /// What is asked for.
    pub goal: Goal,
    /// Workers in each pod.
    pub workers: u32,
}

impl View<'_> {
    /// Pods in this state.
    pub fn count(&self, state: PodState) -> u32 {
        let count = self.pods.iter().filter(|pod| pod.state == state).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Requests in all pods that have served, by what they last said.
    pub fn in_system(&self) -> u64 {
        self.pods
            .iter()
            .map(|pod| u64::from(pod.told.in_system))
            .sum()
    }
}

/// One pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodView {
    /// No other pod of a run has it.
    pub id: u64,
    /// Where it is in its life.
    pub state: PodState,
    /// What it last said of itself.
    pub told: Told,
    /// It said that just now. Starting pods say nothing.
    pub speaks: bool,
    /// It takes requests and does nothing else, as one can see: whoever asks it gets no answer.
    pub frozen: bool,
    /// How long a request takes in it these days, in seconds, on average.
    pub service: f64,
}

/// What a pod has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// Requests that came, refused ones too.
    pub arrivals: u64,
    /// Requests that were told 503.
    pub refused: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// The waits of answered requests, summed, in seconds.
    pub waited: f64,
    /// The times from arrival to answer of answered requests, summed, in seconds.
    pub sojourned: f64,
    /// Requests that are in it.
    pub in_system: u32,
}
