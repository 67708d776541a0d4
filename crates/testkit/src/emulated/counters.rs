//! What TorchServe counts, and when.

use std::collections::BTreeMap;
use std::time::Duration;

/// Everything on the metrics page that the traffic changes. Starts from nothing with each process.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: BTreeMap<Series, f64>,
    /// Microseconds.
    pub(super) queue_latency: BTreeMap<Series, f64>,
    /// Microseconds.
    pub(super) inference_latency: BTreeMap<Series, f64>,
    /// Milliseconds, the last answered request's; stays when the traffic ends.
    pub(super) queue_time: Option<f64>,
    /// Milliseconds, the last batch's.
    pub(super) worker_thread_time: Option<f64>,
    /// Milliseconds, the last batch's, by model.
    pub(super) prediction_time: BTreeMap<String, f64>,
    /// Milliseconds, by worker.
    pub(super) worker_load_time: BTreeMap<String, f64>,
    /// HTTP answers of all three ports: 2xx, 4xx, 5xx.
    pub(super) answers: [u64; 3],
}

/// The labels of the `ts_*` counters: the version is what the client wrote, or `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) model: String,
    pub(super) version: String,
}

impl Counters {
    /// A request for a known model, before anybody knows whether the queue takes it.
    pub(super) fn arrived(&mut self, series: Series) {
        *self.requests.entry(series).or_default() += 1.0;
    }

    /// A request answered with success over REST; nothing else moves the latencies.
    pub(super) fn answered(&mut self, series: Series, waited: Duration, latency: Duration) {
        *self.queue_latency.entry(series.clone()).or_default() += micros(waited);
        *self.inference_latency.entry(series).or_default() += micros(latency);
    }

    /// Any request that a worker finished, over gRPC too.
    pub(super) fn waited(&mut self, waited: Duration) {
        self.queue_time = Some((waited.as_secs_f64() * 1000.0).floor());
    }

    pub(super) fn http_answer(&mut self, status: u16) {
        let class = match status {
            200..300 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.answers[class] += 1;
    }
}

/// Nanoseconds / 1000.0, as TorchServe does it, with the dust of floating point.
fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
