//! The push message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One reading of one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push<'a> {
    /// The version of this message: 1.
    pub version: u32,
    /// The pod.
    #[serde(borrow)]
    pub pod: Pod<'a>,
    /// The sidecar process.
    #[serde(borrow)]
    pub sidecar: Sidecar<'a>,
    /// The sequence number of the reading in this process, from 1.
    pub sequence: u64,
    /// The time of the scrape on the sidecar's monotonic clock, in seconds since its start. Differences of cumulative
    /// counters refer to differences of this.
    pub clock_seconds: f64,
    /// The time from the scrape to the push, in seconds.
    pub age_seconds: f64,
    /// The scrape interval, in seconds.
    pub interval_seconds: f64,
    /// Whether the pod is terminating, and this is its last reading.
    #[serde(default)]
    pub terminating: bool,
    /// The state of the model server.
    #[serde(borrow)]
    pub server: Server<'a>,
    /// One entry per model, over all its versions.
    #[serde(default, borrow)]
    pub models: Vec<Model<'a>>,
}

/// The pod of a reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod<'a> {
    /// `metadata.namespace`.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    /// `metadata.name`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `metadata.uid`.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
}

/// The sidecar process that pushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar<'a> {
    /// The sidecar's release.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// A random number per process: sequence numbers restart with it.
    pub instance: u64,
}

/// The model server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server<'a> {
    /// The kind of server: `torchserve`.
    #[serde(borrow)]
    pub profile: Cow<'a, str>,
    /// Its state, derived from all ports.
    pub state: State,
    /// The state of its metrics port.
    pub metrics_port: PortState,
    /// The state of its management port; absent if that port is not scraped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_port: Option<PortState>,
    /// Incremented whenever the counters restart from zero, for debugging. The aggregator does not use it: counters
    /// that restart are below the previous ones, among them the completed requests, which the sidecar counts.
    #[serde(default)]
    pub counter_epoch: u64,
    /// HTTP responses with status 2xx, cumulative, over all models and ports, including probes and scrapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_total: Option<f64>,
    /// HTTP responses with status 5xx, cumulative: rejected and failed requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_total: Option<f64>,
}

/// The state of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It responds with metrics.
    Ready,
    /// It responds, and has had no requests since its start.
    NoSamplesYet,
    /// It responds; its models are loading, or loaded so recently that queue latencies still include the load time.
    WarmingUp,
    /// It refuses connections: it is starting, stopping or has crashed.
    Refused,
    /// It accepts connections and does not respond in time.
    Frozen,
    /// It responds with an empty page: `metrics_mode=log`.
    Empty,
    /// It requires a token.
    Forbidden,
    /// It responds with something other than metrics.
    Garbled,
    /// A state of a newer release. No latency is derived from it.
    #[serde(other)]
    Unknown,
}

/// The state of one port of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortState {
    /// It responds as expected.
    Ok,
    /// The connection is refused or reset.
    Refused,
    /// The response timed out.
    Frozen,
    /// The body is empty.
    Empty,
    /// It requires a token.
    Forbidden,
    /// The response is invalid: another program, too large, or not HTTP.
    Garbled,
    /// A value of a newer release.
    #[serde(other)]
    Unknown,
}

/// The queue of one model, summed over its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model<'a> {
    /// The model's name on the server.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The expected wait of a request that arrives now until a worker takes it, in seconds; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_latency_seconds: Option<f64>,
    /// How the queue latency is computed.
    #[serde(default)]
    pub basis: Basis,
    /// Whether the queue is full and requests are rejected: demand is then higher than the latency shows.
    #[serde(default)]
    pub rejecting: bool,
    /// Arrived requests, including rejected ones, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_total: Option<f64>,
    /// Rejected or failed requests (5xx), cumulative since the later start of sidecar and server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_total: Option<f64>,
    /// Completed requests, cumulative like `rejected_total`; absent if they cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_total: Option<f64>,
    /// Total wait of completed requests, in seconds, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds_total: Option<f64>,
    /// Total time from arrival to completion of completed requests, in seconds, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sojourn_seconds_total: Option<f64>,
    /// Waiting requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
    /// In-flight requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,
    /// Free capacity of the queue, in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_left: Option<f64>,
    /// Ready workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_ready: Option<f64>,
    /// Maximum batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<f64>,
    /// Maximum time the server waits for a batch to fill, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_delay_seconds: Option<f64>,
    /// Service time of one batch, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_seconds: Option<f64>,
    /// Whether the server uses continuous batching: then only the queue depth is meaningful, not waits and service
    /// times.
    #[serde(default)]
    pub continuous_batching: bool,
}

/// How a queue latency is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Basis {
    /// Unknown.
    #[default]
    Nothing,
    /// The queue is empty.
    EmptyQueue,
    /// Waiting requests divided by completed requests per second.
    WaitingOverRate,
    /// Waiting requests times service time, divided by workers.
    WaitingTimesService,
    /// The waits of requests completed since the last scrape: delayed, and too high while a queue drains.
    Completed,
    /// No request has completed for too long while requests wait.
    Stalled,
    /// A value of a newer release.
    #[serde(other)]
    Unknown,
}
