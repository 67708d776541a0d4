//! The input of a controller.

use super::goal::Goal;

/// The phase of a simulated pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Created, not ready yet.
    Starting,
    /// Ready.
    Serving,
    /// Terminating: it completes its requests.
    Draining,
}

/// The state of the cluster as a controller sees it once per second.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The number of completed seconds, from 1.
    pub second: usize,
    /// All pods, oldest first.
    pub pods: &'a [PodView],
    /// The desired replicas.
    pub replicas: u32,
    /// Whether no pod reports.
    pub silent: bool,
    /// The goal.
    pub goal: Goal,
    /// Workers per pod.
    pub workers: u32,
}

impl View<'_> {
    /// Returns the number of pods in this state.
    pub fn count(&self, state: PodState) -> u32 {
        let count = self.pods.iter().filter(|pod| pod.state == state).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Returns the requests in all pods that have been ready, according to their last readings.
    pub fn in_system(&self) -> u64 {
        self.pods
            .iter()
            .map(|pod| u64::from(pod.reading.in_system))
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
    pub reading: PodReading,
    /// It said that just now. Starting pods say nothing.
    pub speaks: bool,
    /// It takes requests and does nothing else, as one can see: whoever asks it gets no answer.
    pub frozen: bool,
    /// How long a request takes in it these days, in seconds, on average.
    pub service: f64,
}

/// What a pod has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodReading {
    /// Requests that came, refused ones too.
    pub arrivals: u64,
    /// Requests rejected with 503.
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
