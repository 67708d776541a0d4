//! `spec.metrics`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration;

/// A metric. Its settings are in the field that is named after its type.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricSpec {
    /// The kind of metric.
    #[serde(rename = "type")]
    pub type_: MetricType,
    /// The settings of a QueueLatency metric.
    pub queue_latency: QueueLatencySource,
}

/// The kind of metric.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// How long a request waits before a worker takes it.
    QueueLatency,
}

/// A queue latency and its target.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.percentile) || self.aggregate == 'Mean'")
        .message("queueLatency.percentile replaces queueLatency.aggregate: leave one of them out"),
)]
pub struct QueueLatencySource {
    /// The target latency: how long a request may wait before a worker takes it, such as 7ms, 1.5s or 1m30s. Half the
    /// service time is a good starting value.
    #[schemars(length(min = 1, max = duration::MAX_CHARS), regex(pattern = duration::PATTERN))]
    #[x_kube(
        validation = Rule::new(duration::FRACTION_RULE).message(duration::FRACTION_MESSAGE),
        validation = Rule::new("duration(self) > duration('0s')")
            .message("queueLatency.target must be greater than 0, such as 7ms"),
        validation = Rule::new("duration(self) <= duration('24h')")
            .message("queueLatency.target must not be greater than 24h"),
    )]
    pub target: String,
    /// The model. Default with algorithm Model: all models, and the one that needs the most pods decides. Default with
    /// Ratio: in each pod, the model with the longest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model: Option<String>,
    /// Which wait is compared with the target: over the pods with algorithm Ratio, over the requests with Model.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// Compares a percentile of the waits with the target instead of the mean: with 99, 99% of the requests wait at
    /// most the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 50, max = 99))]
    pub percentile: Option<i32>,
    /// The service time until it has been measured, such as 100ms: how long a worker takes for one request. Used by
    /// algorithm Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = duration::MAX_CHARS), regex(pattern = duration::PATTERN))]
    #[x_kube(
        validation = Rule::new(duration::FRACTION_RULE).message(duration::FRACTION_MESSAGE),
        validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('24h')")
            .message("queueLatency.serviceTime must be greater than 0 and not greater than 24h"),
    )]
    pub service_time: Option<String>,
    /// The workers of each pod, if the sidecar does not read them from TorchServe's management port. Used by algorithm
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub workers: Option<i32>,
}

impl MetricSpec {
    /// Creates a metric that compares the mean queue latency of `model`, or without one of all models, with `target`.
    pub fn queue_latency(target: &str, model: Option<String>) -> Self {
        Self {
            type_: MetricType::QueueLatency,
            queue_latency: QueueLatencySource {
                target: target.to_owned(),
                model,
                aggregate: Aggregate::default(),
                percentile: None,
                service_time: None,
                workers: None,
            },
        }
    }
}

/// Which wait is compared with the target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    #[default]
    Mean,
    /// The maximum. Requires algorithm Ratio.
    Max,
    /// The 95th percentile, as `percentile: 95`.
    P95,
}
