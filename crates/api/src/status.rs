//! `status`: what was decided and why.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was found and decided, as of the last change. A report for people and tools; nothing is read back
/// from it but conditions and lastScaleTime after a restart.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PushScalerStatus {
    /// The generation of the spec that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Kind and name of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The target's replicas as last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// The replicas that the target should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// When replicas were last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// Mean queue latency over the pods / target, of each metric, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// The same for tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub current_metrics: Vec<MetricStatus>,
    /// How many pods report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
    /// The last decision, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// AbleToScale, ScalingActive, ScalingLimited as a HorizontalPodAutoscaler has them; Fresh, MetricsIncomplete, Stuck
    /// and TargetReachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One metric as last computed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// QueueLatency.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its figures.
    pub queue_latency: QueueLatencyStatus,
}

/// A queue latency as last computed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QueueLatencyStatus {
    /// The model, if the metric names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The mean over the pods that report.
    pub average: String,
    /// What it should be.
    pub target: String,
    /// The replicas that this metric alone asks for.
    pub proposed_replicas: i32,
}

/// The target's pods by what is known of their queues. Leaving and failed pods are in none.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// With a recent reading and a queue latency.
    pub fresh: i32,
    /// With a recent reading that tells no queue latency: the server is refused, frozen, empty, warming up.
    pub unknown: i32,
    /// With a last reading that is too old.
    pub stale: i32,
    /// Running, and never heard of.
    pub absent: i32,
    /// Not started yet.
    pub pending: i32,
}
