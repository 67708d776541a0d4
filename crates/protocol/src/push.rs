//! The message itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One reading of one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push<'a> {
    /// Of this message: 1.
    pub version: u32,
    /// Who speaks.
    #[serde(borrow)]
    pub pod: Pod<'a>,
    /// Which process speaks.
    #[serde(borrow)]
    pub sidecar: Sidecar<'a>,
    /// Counts the readings of one sidecar process, from 1.
    pub sequence: u64,
    /// The sidecar's monotonic clock when it looked, in seconds since it started. Differences between
    /// cumulative counters belong to differences of this.
    pub clock_seconds: f64,
    /// How long before sending it looked, in seconds.
    pub age_seconds: f64,
    /// How often it looks, in seconds.
    pub interval_seconds: f64,
    /// The pod is ending; this is its last word.
    #[serde(default)]
    pub leaving: bool,
    /// What the model server was found to be doing.
    #[serde(borrow)]
    pub server: Server<'a>,
    /// One entry a model, over all its versions.
    #[serde(default, borrow)]
    pub models: Vec<Model<'a>>,
}

/// The pod that a reading is of.
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

/// The process that speaks for the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar<'a> {
    /// Its release.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// A random number drawn at its start: a restarted sidecar counts its readings anew.
    pub instance: u64,
}

/// The model server, whatever its make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server<'a> {
    /// Which profile reads it: `torchserve`.
    #[serde(borrow)]
    pub profile: Cow<'a, str>,
    /// What it is doing, all ports considered.
    pub state: State,
    /// How its metrics port answers.
    pub metrics_port: PortState,
    /// How its management port answers; absent if that port is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_port: Option<PortState>,
    /// Goes up by one whenever its counters were seen to start again from zero.
    #[serde(default)]
    pub counter_epoch: u64,
    /// HTTP answers of status 2xx, cumulative, all models and ports, probes and scrapes too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_total: Option<f64>,
    /// HTTP answers of status 5xx, cumulative: refused, failed, died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_total: Option<f64>,
}

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It answers and has numbers.
    Ready,
    /// It answers and has had no request since it started.
    NoSamplesYet,
    /// It answers; its models are loading, or loaded so recently that waits still tell of the loading.
    WarmingUp,
    /// Nobody listens: starting, stopping or crashed.
    Refused,
    /// It accepts connections and does not answer in time.
    Frozen,
    /// It answers with an empty page: `metrics_mode=log`.
    Empty,
    /// It wants a token.
    Forbidden,
    /// It answers with something else than metrics.
    Garbled,
    /// A newer sidecar says something that this release does not know. No latency is taken from it.
    #[serde(other)]
    Unknown,
}

/// How one port of the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortState {
    /// As it should.
    Ok,
    /// Not at all: connection refused or reset.
    Refused,
    /// Too late.
    Frozen,
    /// With an empty body.
    Empty,
    /// With a demand for a token.
    Forbidden,
    /// With something else: another program, too large, no HTTP.
    Garbled,
    /// Known to a newer release only.
    #[serde(other)]
    Unknown,
}

/// The queue of one model, summed over its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model<'a> {
    /// The model's name as the server has it.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// How long a request that arrives now will wait before a worker takes it, in seconds; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_latency_seconds: Option<f64>,
    /// What that is computed from.
    #[serde(default)]
    pub basis: Basis,
    /// The queue is full and requests are turned away: demand is higher than any latency shows.
    #[serde(default)]
    pub refusing: bool,
    /// Requests arrived, refused ones too, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_total: Option<f64>,
    /// Requests turned away, cumulative since the sidecar or the server started, whichever was later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_total: Option<f64>,
    /// Requests that left after service, cumulative like `refused_total`; absent: they cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_total: Option<f64>,
    /// Waits of answered requests, summed, in seconds, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds_total: Option<f64>,
    /// Times from arrival to answer of answered requests, summed, in seconds, cumulative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sojourn_seconds_total: Option<f64>,
    /// Requests waiting now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<f64>,
    /// Requests that workers have in hand now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<f64>,
    /// Places left in the queue now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_left: Option<f64>,
    /// Workers that are ready now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_ready: Option<f64>,
    /// The most requests that one worker takes at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<f64>,
    /// How long the server waits for a batch to fill, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_delay_seconds: Option<f64>,
    /// How long a worker takes for one batch, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_seconds: Option<f64>,
    /// The server batches continuously: waits and service times tell nothing, only the queue length does.
    #[serde(default)]
    pub continuous_batching: bool,
}

/// What a queue latency is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Basis {
    /// Nothing: unknown.
    #[default]
    Nothing,
    /// An empty queue.
    EmptyQueue,
    /// Requests waiting over answers a second.
    PendingOverRate,
    /// Requests waiting times service time over workers.
    PendingTimesService,
    /// The waits of requests answered since the last look: late, and high while a queue drains.
    Answered,
    /// Nothing was answered for too long while requests wait.
    Stalled,
    /// Known to a newer release only.
    #[serde(other)]
    Unknown,
}
