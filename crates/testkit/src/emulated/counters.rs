//! TorchServe's counters, and when they change.

use std::collections::BTreeMap;
use std::time::Duration;

/// All values on the metrics page that depend on the traffic. They start at zero with each process.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: BTreeMap<Series, f64>,
    /// In microseconds.
    pub(super) queue_latency: BTreeMap<Series, f64>,
    /// In microseconds.
    pub(super) inference_latency: BTreeMap<Series, f64>,
    /// The queue time of the last completed request, in milliseconds. It keeps its value when the traffic ends.
    pub(super) queue_time: Option<f64>,
    /// The value of the last batch, in milliseconds.
    pub(super) worker_thread_time: Option<f64>,
    /// The value of the last batch by model, in milliseconds.
    pub(super) prediction_time: BTreeMap<String, f64>,
    /// The load time by worker, in milliseconds.
    pub(super) worker_load_time: BTreeMap<String, f64>,
    /// HTTP responses of all three ports: 2xx, 4xx, 5xx.
    pub(super) responses: [u64; 3],
}

/// The labels of the `ts_*` counters. The version is the one in the request's URL, or `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) model: String,
    pub(super) version: String,
}

impl Counters {
    /// Counts a request for a known model, before the queue accepts or rejects it.
    pub(super) fn arrived(&mut self, series: Series) {
        *self.requests.entry(series).or_default() += 1.0;
    }

    /// Counts a successful REST request. Only these change the latencies.
    pub(super) fn responded(&mut self, series: Series, waited: Duration, latency: Duration) {
        *self.queue_latency.entry(series.clone()).or_default() += micros(waited);
        *self.inference_latency.entry(series).or_default() += micros(latency);
    }

    /// Counts a request that a worker completed, including gRPC requests.
    pub(super) fn waited(&mut self, waited: Duration) {
        self.queue_time = Some((waited.as_secs_f64() * 1000.0).floor());
    }

    pub(super) fn http_response(&mut self, status: u16) {
        let class = match status {
            200..300 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.responses[class] += 1;
    }
}

/// Returns nanoseconds / 1000.0, with the same floating-point errors as TorchServe.
fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
