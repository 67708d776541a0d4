//! The result of a run.

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds whose arrivals waited more than 4 times the objective on average, or in which a request failed.
    pub violation_seconds: u32,
    /// The share of requests that waited more than 4 times the objective or failed, in percent.
    pub bad_percent: f64,
    /// The mean wait of the requests that did not fail, in seconds.
    pub mean_wait: f64,
    /// The 95th percentile of the wait, in seconds, to three digits.
    pub p95_wait: f64,
    /// The 99th percentile of the wait, in seconds, to three digits.
    pub p99_wait: f64,
    /// The 95th percentile of the wait of the requests that were sent in the second half of the run, in seconds.
    pub settled_p95_wait: f64,
    /// Their 99th percentile, in seconds.
    pub settled_p99_wait: f64,
    /// The 95th percentile of the wait divided by the objective.
    pub p95_over_target: f64,
    /// The number of requests that arrived.
    pub arrivals: u64,
    /// The number of requests completed before the end.
    pub completed: u64,
    /// The number of requests rejected with 503, or without a ready pod, that were not repeated successfully.
    pub rejected: u64,
    /// The number of requests lost with their pod, or on which a client gave up that does not repeat them.
    pub lost: u64,
    /// The number of failed requests that clients repeated.
    pub retries: u64,
    /// The number of requests in pods at the end, or about to be repeated.
    pub in_system: u64,
    /// Pod-hours, including starting and terminating pods.
    pub pod_hours: f64,
    /// Hours of nodes, one per pod, each of which is kept for 10 minutes after it was last needed.
    pub node_hours: f64,
    /// The number of changes of the desired replicas.
    pub changes: u32,
    /// The number of these changes after which one in the other direction follows within 10 s.
    pub reversals: u32,
    /// The number of pods created after the start of the run.
    pub starts: u64,
    /// The maximum desired replicas.
    pub largest: u32,
    /// The maximum desired replicas divided by [`ClusterSpec::need`](super::ClusterSpec::need).
    pub largest_over_need: f64,
    /// The result of each second.
    pub seconds: Vec<Second>,
    /// All changes of the desired replicas.
    pub history: Vec<Change>,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// The number of requests that arrived.
    pub arrivals: u32,
    /// Their mean wait, in seconds; `None` if there were none, or all failed.
    pub mean_wait: Option<f64>,
    /// Whether the mean wait was too long, or a request failed.
    pub violated: bool,
    /// The desired replicas at the end of the second.
    pub desired: u32,
    /// The number of ready pods at the end of the second.
    pub ready: u32,
}

/// A change of the desired replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of seconds since the start of the run.
    pub second: usize,
    /// The replicas before.
    pub from: u32,
    /// The replicas after.
    pub to: u32,
    /// The controller's explanation, if it has one.
    pub why: String,
}
