//! What a run showed.

/// What a run showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds whose arrivals waited more than 4 times the target on average, or of whose arrivals one failed.
    pub violation_seconds: u32,
    /// Requests that waited more than 4 times the target, or failed, in percent.
    pub bad_percent: f64,
    /// The mean wait of the requests that did not fail, in seconds.
    pub mean_wait: f64,
    /// The wait that 95 of 100 requests do not exceed, in seconds, to three digits.
    pub p95_wait: f64,
    /// The wait that 99 of 100 requests do not exceed, in seconds, to three digits.
    pub p99_wait: f64,
    /// Requests that came.
    pub arrivals: u64,
    /// Requests that were answered before the end.
    pub answered: u64,
    /// Requests rejected with 503, or without any pod.
    pub refused: u64,
    /// Requests that were lost with their pod.
    pub lost: u64,
    /// Requests that were in pods at the end.
    pub in_system: u64,
    /// Hours of pods, of those that start or drain too.
    pub pod_hours: f64,
    /// How often the size was changed.
    pub changes: u32,
    /// Pods that were made after the beginning.
    pub starts: u64,
    /// The largest size that was set.
    pub largest: u32,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Every change of the size.
    pub history: Vec<Change>,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Requests that came in it.
    pub arrivals: u32,
    /// Their mean wait, in seconds; `None`: there were none, or all failed.
    pub mean_wait: Option<f64>,
    /// They waited too long, or one of them failed.
    pub violated: bool,
    /// The size that was set, at the end of it.
    pub wanted: u32,
    /// Pods that served, at the end of it.
    pub ready: u32,
}

/// A change of the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// At the end of this many seconds.
    pub second: usize,
    /// From this size.
    pub from: u32,
    /// To this one.
    pub to: u32,
    /// In the controller's words, if it has any.
    pub why: String,
}
