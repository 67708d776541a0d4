//! What one scrape a server shows, in neutral words: no profile's names, no rules yet.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_protocol::PortState;

/// One scrape both ports of a server.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// When, on the sidecar's monotonic clock since its start.
    pub at: Duration,
    /// The metrics port, or why it says nothing.
    pub metrics: Result<Page, PortState>,
    /// The management port's queues by model, or why it says nothing; `None` if it is not read.
    pub management: Option<Result<BTreeMap<String, Queue>, PortState>>,
}

/// What the metrics port says. An absent number is absent and never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// By model, summed over its versions.
    pub models: BTreeMap<String, Counters>,
    /// Of the whole server.
    pub host: Host,
    /// The page names the server's counters, with or without a sample: it is the server's own page, and a model
    /// that has no sample has had no request.
    pub recognised: bool,
    /// Samples on the page, of any kind.
    pub samples: usize,
    /// Lines that could not be read.
    pub bad_lines: usize,
}

/// Cumulative counters of one model, and its newest service time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Requests arrived, refused ones too.
    pub arrivals: Option<f64>,
    /// Waits of answered requests, summed, in seconds.
    pub wait_seconds: Option<f64>,
    /// Times from arrival to answer of answered requests, summed, in seconds.
    pub sojourn_seconds: Option<f64>,
    /// How long the last batch took in the worker, in seconds; a gauge.
    pub service_seconds: Option<f64>,
}

/// Numbers of the whole server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Host {
    /// HTTP answers of status 2xx, cumulative.
    pub succeeded: Option<f64>,
    /// HTTP answers of status 5xx, cumulative.
    pub failed: Option<f64>,
    /// The wait of the last answered request of any model, in seconds; a gauge that never goes back.
    pub last_wait_seconds: Option<f64>,
}

/// The queue of one model as the management port has it, summed over its versions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queue {
    /// Requests waiting.
    pub pending: f64,
    /// Places left.
    pub capacity_left: f64,
    /// Workers that are ready.
    pub workers_ready: f64,
    /// The most requests that one worker takes at a time; of the versions, the smallest.
    pub batch_size: f64,
    /// How long the server waits for a batch to fill, in seconds; of the versions, the longest.
    pub batch_delay_seconds: f64,
    /// The server batches continuously, in any version.
    pub continuous_batching: bool,
}
