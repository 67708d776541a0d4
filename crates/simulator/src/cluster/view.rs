//! The input of a controller.

use super::batching::Batching;
use super::deletion::Deletion;
use super::goal::Goal;

/// The phase of a simulated pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Created, not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// Was ready and is not: its readiness probe fails, or its container restarts.
    Unready,
    /// Terminating: it completes its requests.
    Terminating,
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
    /// The requests that have been sent to the cluster, as a load balancer in front of it counts them.
    pub arrived: u64,
    /// Whether no pod reports.
    pub silent: bool,
    /// The goal.
    pub goal: Goal,
    /// Workers per pod.
    pub workers: u32,
    /// Maximum waiting requests per pod.
    pub queue: u32,
    /// The batches of the workers.
    pub batching: Batching,
    /// Seconds between two scrapes of a sidecar.
    pub scrape_interval: u32,
    /// The pods that a scale-down deletes first.
    pub deletion: Deletion,
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

    /// Returns the requests in the workers of all pods that have been ready, according to their last readings.
    pub(crate) fn in_workers(&self) -> u64 {
        self.pods
            .iter()
            .map(|pod| u64::from(pod.reading.in_system.saturating_sub(pod.reading.waiting)))
            .sum()
    }
}

/// One pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodView {
    /// The id, unique in a run.
    pub id: u64,
    /// The pod's phase.
    pub state: PodState,
    /// The pod's last reading.
    pub reading: PodReading,
    /// Whether the reading is from this second. Starting pods do not report.
    pub has_pushed: bool,
    /// The server as the sidecar finds it.
    pub health: ServerHealth,
    /// How often the sidecar has restarted.
    pub sidecar_restarts: u32,
    /// The current mean service time of a single request in the pod, in seconds.
    pub service: f64,
}

impl PodView {
    /// Returns the pod's position, from 0 to 1. The positions of the pods of a fleet are spread evenly.
    pub(crate) fn position(id: u64) -> f64 {
        // The golden ratio distributes consecutive numbers evenly: a third of 6 pods is 2 of them.
        (id as f64 * 0.618_033_988_749_894_9).fract()
    }
}

/// The server in a pod, as its sidecar finds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServerHealth {
    /// It responds.
    Ready,
    /// It accepts requests but neither completes any nor responds to its sidecar, until this time.
    Frozen(f64),
    /// It refuses connections.
    Down,
}

/// The counters of a pod since its server started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodReading {
    /// Requests that arrived, including rejected ones.
    pub arrivals: u64,
    /// Requests rejected with 503.
    pub rejected: u64,
    /// Completed requests.
    pub completed: u64,
    /// Total wait of the completed requests, except those of gRPC, in seconds.
    pub waited: f64,
    /// Total time from arrival to completion of the completed requests, except those of gRPC, in seconds.
    pub sojourned: f64,
    /// Waiting and in-flight requests.
    pub in_system: u32,
    /// Waiting requests that no worker has taken.
    pub waiting: u32,
    /// HTTP responses with status 2xx: those of completed requests, except those of gRPC.
    pub responses: u64,
    /// The service time of the last completed batch, in seconds.
    pub batch_seconds: Option<f64>,
}
