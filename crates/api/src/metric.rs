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
    /// What the mean over the pods should be: a duration such as 7ms, 1.5s or 1m30s.
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
}
