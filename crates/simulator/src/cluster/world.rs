//! Everything about a cluster but the controller.

use std::ops::Range;

use crate::traffic::Traffic;

use super::balancing::Balancing;
use super::fault::Fault;
use super::goal::Goal;

/// A cluster and its load. All times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// When requests arrive.
    pub traffic: Traffic,
    /// How long a worker takes for a request, on average.
    pub service: f64,
    /// How that varies: the standard deviation over the mean of a lognormal distribution. 0: always the same.
    pub cv: f64,
    /// Workers in each pod.
    pub workers: u32,
    /// Maximum waiting requests per pod. Further ones get 503.
    pub queue: u32,
    /// How a request finds its pod.
    pub balancing: Balancing,
    /// From a pod's creation until it serves: drawn evenly between these two.
    pub start_delay: (f64, f64),
    /// How pods differ in speed: the standard deviation of the logarithm of a lognormal distribution around 1.
    pub speeds: f64,
    /// Pods at the beginning, all of which serve.
    pub pods: u32,
    /// What is asked for.
    pub goal: Goal,
    /// When service takes longer, or less long.
    pub slow: Vec<Slow>,
    /// When pods say nothing.
    pub gaps: Vec<Gap>,
    /// What breaks.
    pub faults: Vec<Fault>,
}

impl Default for World {
    /// The base case of the shared scenarios, with no load.
    fn default() -> Self {
        Self {
            traffic: Traffic::Rates(Vec::new()),
            service: 0.1,
            cv: 1.0,
            workers: 4,
            queue: 1000,
            balancing: Balancing::Random,
            start_delay: (30.0, 120.0),
            speeds: 0.0,
            pods: 1,
            goal: Goal {
                target: 0.05,
                min: 1,
                max: 80,
            },
            slow: Vec::new(),
            gaps: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl World {
    /// How many times as long as usual service takes in this second.
    pub fn slowness(&self, second: usize) -> f64 {
        self.slow
            .iter()
            .filter(|slow| slow.when.contains(&second))
            .map(|slow| slow.factor)
            .product()
    }
}

/// A while in which service takes so many times as long.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    /// The seconds.
    pub when: Range<usize>,
    /// Times the usual.
    pub factor: f64,
}

/// A while in which pods say nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The seconds, counted as [`View::second`](super::View::second) does.
    pub when: Range<usize>,
    /// The share of pods that are silent; 1: all.
    pub share: f64,
}
