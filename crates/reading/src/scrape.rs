//! The result of one scrape, independent of the server's metric names.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_protocol::{MAX_MODELS, PortState};

/// One scrape of both ports of a server.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The time of the scrape, on the sidecar's monotonic clock since its start.
    pub at: Duration,
    /// HTTP responses with status 2xx to the sidecar itself before this scrape, cumulative: the server counts them with
    /// the others.
    pub own_responses: u64,
    /// The page of the metrics port, or the state of a port without one.
    pub metrics: Result<Page, PortState>,
    /// The queues by model from the management port, or the state of a port without them; `None` if it is not scraped.
    /// A model without a queue was not described in this scrape; a model that is no longer registered has an empty one.
    pub management: Option<Result<BTreeMap<String, Queue>, PortState>>,
}

/// The metrics page. A value that the page does not have is `None`, never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Counters by model, summed over its versions.
    pub models: BTreeMap<String, Counters>,
    /// Values of the whole server.
    pub server: ServerCounters,
    /// Whether the page declares the server's counters, with or without samples. If so, a model without samples has had
    /// no requests.
    pub recognised: bool,
    /// Number of samples on the page.
    pub samples: usize,
    /// Number of lines that could not be parsed.
    pub bad_lines: usize,
}

impl Page {
    /// Whether the page has as many models as a push may have. The server may have more, whose names are greater.
    pub fn is_full(&self) -> bool {
        self.models.len() >= MAX_MODELS
    }
}

/// Cumulative counters of one model, and its newest service time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Arrived requests, including rejected ones.
    pub arrivals: Option<f64>,
    /// Total queue latency of completed requests, in seconds.
    pub wait_seconds: Option<f64>,
    /// Total time from arrival to completion of completed requests, in seconds.
    pub sojourn_seconds: Option<f64>,
    /// Service time of the last batch, in seconds; a gauge.
    pub service_seconds: Option<f64>,
}

/// Values of the whole server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCounters {
    /// HTTP responses with status 2xx, cumulative.
    pub succeeded: Option<f64>,
    /// HTTP responses with status 5xx, cumulative.
    pub failed: Option<f64>,
    /// Queue latency of the last completed request of any model, in seconds; a gauge that is never reset.
    pub last_wait_seconds: Option<f64>,
}

/// The queue of one model from the management port, summed over its versions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queue {
    /// Waiting requests.
    pub waiting: f64,
    /// Free capacity of the queue, in requests.
    pub capacity_left: f64,
    /// Ready workers.
    pub workers_ready: f64,
    /// Maximum batch size: the mean over the workers of all versions.
    pub batch_size: f64,
    /// Maximum time the server waits for a batch to fill, in seconds: the longest of the versions.
    pub batch_delay_seconds: f64,
    /// Whether any version uses continuous batching.
    pub continuous_batching: bool,
}

impl Queue {
    /// Returns how many requests the workers process at the same time.
    pub fn slots(&self) -> f64 {
        self.workers_ready * self.batch_size
    }
}
