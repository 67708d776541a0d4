//! The input of a simulation, except the controller.

use std::ops::Range;

use crate::traffic::Traffic;

use super::arrivals::{Burst, Outage};
use super::balancing::Balancing;
use super::batching::Batching;
use super::clients::Clients;
use super::deletion::Deletion;
use super::fault::Fault;
use super::goal::Goal;
use super::rollout::Rollout;
use super::service_times::{LongRequests, Pareto};
use super::warm_up::WarmUp;

/// A cluster and its load. All times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// The arrivals.
    pub traffic: Traffic,
    /// The mean service time of a single request.
    pub service: f64,
    /// The coefficient of variation of the service time, which has a lognormal distribution; 0 for a constant service
    /// time.
    pub cv: f64,
    /// The Pareto distribution of the service time, in place of the lognormal one.
    pub pareto: Option<Pareto>,
    /// Requests that take longer than the others.
    pub long_requests: Option<LongRequests>,
    /// Workers per pod.
    pub workers: u32,
    /// The batches of the workers.
    pub batching: Batching,
    /// Maximum waiting requests per pod. Further ones get 503.
    pub queue: u32,
    /// The share that each busy worker of a pod adds to the service time of the others, which share a device.
    pub contention: f64,
    /// The clients.
    pub clients: Clients,
    /// The load balancing.
    pub balancing: Balancing,
    /// The minimum and maximum start delay. It has a uniform distribution.
    pub start_delay: (f64, f64),
    /// Pods that are created within this time after the first of a round become ready together with it, in seconds; 0
    /// if each pod has its own start delay.
    pub start_round: f64,
    /// The warm-up of servers that start during the run.
    pub warm_up: WarmUp,
    /// The standard deviation of the logarithm of the pods' speeds, which have a lognormal distribution around 1.
    pub speeds: f64,
    /// The pods that a scale-down deletes first.
    pub deletion: Deletion,
    /// The initial pods, which are ready.
    pub pods: u32,
    /// The goal of the controller.
    pub goal: Goal,
    /// The wait by which requests are judged, in seconds; `None` for the target.
    pub objective: Option<f64>,
    /// The controller's price of a second in which requests wait too long, in pod-seconds; `None` for its default.
    pub violation_price: Option<u32>,
    /// Periods with a longer or shorter service time.
    pub slow: Vec<Slow>,
    /// Seconds between two scrapes of a sidecar.
    pub scrape_interval: u32,
    /// Periods without readings.
    pub gaps: Vec<Gap>,
    /// Bursts of requests in addition to the arrivals.
    pub bursts: Vec<Burst>,
    /// Periods in which requests do not arrive.
    pub outages: Vec<Outage>,
    /// The rollouts.
    pub rollouts: Vec<Rollout>,
    /// The faults.
    pub faults: Vec<Fault>,
}

impl Default for ClusterSpec {
    /// The base case of the shared scenarios with TorchServe's default queue and no load.
    fn default() -> Self {
        Self {
            traffic: Traffic::Rates(Vec::new()),
            service: 0.1,
            cv: 1.0,
            pareto: None,
            long_requests: None,
            workers: 4,
            batching: Batching::default(),
            queue: 100,
            contention: 0.0,
            clients: Clients::default(),
            balancing: Balancing::Random,
            start_delay: (30.0, 120.0),
            start_round: 0.0,
            warm_up: WarmUp::default(),
            speeds: 0.0,
            deletion: Deletion::default(),
            pods: 1,
            goal: Goal {
                target: 0.05,
                min: 1,
                max: 80,
            },
            objective: None,
            violation_price: None,
            slow: Vec::new(),
            scrape_interval: 1,
            gaps: Vec::new(),
            bursts: Vec::new(),
            outages: Vec::new(),
            rollouts: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl ClusterSpec {
    /// Returns the wait by which requests are judged, in seconds.
    pub fn objective(&self) -> f64 {
        self.objective.unwrap_or(self.goal.target)
    }

    /// Returns the arrival rate of a load whose requests do not wait, per second.
    pub(crate) fn arrival_rate(&self, load: f64) -> f64 {
        let think_time = self.clients.think_time;
        think_time.map_or(load, |think_time| load / (think_time + self.service))
    }

    /// Returns the square of the coefficient of variation of the service times.
    pub(super) fn squared_cv(&self) -> f64 {
        let squared = self
            .pareto
            .map_or(self.cv * self.cv, |pareto| pareto.mean_square() - 1.0);
        self.long_requests
            .map_or(squared, |long| (1.0 + squared) * long.mean_square() - 1.0)
    }

    /// Returns the factor on the service time in this second.
    pub fn service_time_factor(&self, second: usize) -> f64 {
        self.slow
            .iter()
            .filter(|slow| slow.when.contains(&second))
            .map(|slow| slow.factor)
            .product()
    }

    /// Returns the factor on the service time of the version that is rolled out by this second.
    pub(crate) fn version_factor(&self, second: usize) -> f64 {
        let begun = self.rollouts.iter();
        let begun = begun.filter(|rollout| rollout.at <= second);
        let last = begun.max_by_key(|rollout| rollout.at);
        last.map_or(1.0, |rollout| rollout.factor)
    }

    /// Returns the requests of bursts that arrive in this second.
    pub fn burst_requests(&self, second: usize) -> u32 {
        let bursts = self.bursts.iter().map(|burst| burst.requests_at(second));
        bursts.fold(0, u32::saturating_add)
    }

    /// Returns the share of the requests that arrive in this second, which is 1 without an outage.
    pub fn arriving_share(&self, second: usize) -> f64 {
        let now = self.outages.iter();
        let now = now.filter(|outage| outage.when.contains(&second));
        1.0 - now.map(|outage| outage.share).fold(0.0, f64::max)
    }
}

/// A period with a factor on the service time.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    /// The seconds.
    pub when: Range<usize>,
    /// The factor.
    pub factor: f64,
}

/// A period in which pods do not report.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The seconds, counted as [`View::second`](super::View::second) does.
    pub when: Range<usize>,
    /// The share of pods that do not report; 1 for all.
    pub share: f64,
}
