//! `spec.metrics`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One metric. The field named like its type holds the rest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricSpec {
    /// The kind of metric.
    #[serde(rename = "type")]
    pub type_: MetricType,
    /// For QueueLatency.
    pub queue_latency: QueueLatencySource,
}

/// The kind of metric.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// How long a request that arrives now will wait before a worker takes it: the mean over the pods.
    QueueLatency,
}

/// A queue latency and its target.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QueueLatencySource {
    /// How long a request may wait before a worker takes it: a duration such as 7ms, 1.5s or 1m30s. The mean, unless
    /// aggregate says otherwise.
    #[schemars(
        length(max = 32),
        regex(pattern = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$")
    )]
    #[x_kube(
        validation = Rule::new("duration(self) > duration('0s')")
            .message("queueLatency.target must be greater than 0, such as 7ms"),
        validation = Rule::new("duration(self) <= duration('24h')")
            .message("queueLatency.target must not be greater than 24h"),
    )]
    pub target: String,
    /// Only this model's queue. Without it, the model that waits longest counts in each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model: Option<String>,
    /// Which wait is held against the target. Ratio takes it over the pods, Model over the requests.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// How long a worker takes for a request, such as 100ms, until that has been measured. For Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$")
    )]
    #[x_kube(
        validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('24h')")
            .message("queueLatency.serviceTime must be greater than 0 and not greater than 24h"),
    )]
    pub service_time: Option<String>,
    /// Workers in each pod, where the pods cannot tell (the sidecar does not read the management port). For Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub workers: Option<i32>,
}

impl MetricSpec {
    /// The mean queue latency of `model`, or of the model that waits longest, against `target`.
    pub fn queue_latency(target: &str, model: Option<String>) -> Self {
        Self {
            type_: MetricType::QueueLatency,
            queue_latency: QueueLatencySource {
                target: target.to_owned(),
                model,
                aggregate: Aggregate::default(),
                service_time: None,
                workers: None,
            },
        }
    }
}

/// Which wait is held against the target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    #[default]
    Mean,
    /// The largest. Takes algorithm Ratio.
    Max,
    /// The one that 5 of 100 exceed.
    P95,
}
