//! `status`: the last decision and its reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::parse_positive;

/// Maximum number of changes in `status.history`.
pub const MAX_HISTORY: usize = 10;

/// The last observations and the last decision, for people and tools. After a restart, the aggregator reads back only
/// conditions, lastScaleTime, history and replicasBefore.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PushScalerStatus {
    /// The generation of the spec that this status is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The kind and name of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The target's replica count as last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// The replica count that was decided last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// The target's replica count before Pushscale first changed it, for onDelete: Restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_before: Option<i32>,
    /// When the replica count was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// The mean queue latency over the pods / the target, of each metric, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// The current value of each metric, for tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub current_metrics: Vec<MetricStatus>,
    /// The number of pods by the state of their readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
    /// The last decision, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The last 10 replica counts that Pushscale wrote, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_HISTORY))]
    pub history: Vec<ScaleChange>,
    /// The HorizontalPodAutoscaler's AbleToScale, ScalingActive and ScalingLimited, and Fresh, MetricsIncomplete,
    /// Stuck, TargetReachable, PodOutlier, LoadUneven, DemandVanished and OutsideEnvelope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A change of the replica count, with the figures of the metric that decided it. A figure that was unknown is absent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleChange {
    /// When it was written.
    pub time: Time,
    /// The replica count before.
    pub from: i32,
    /// The replica count that was written.
    pub to: i32,
    /// The reason, as in the event SuccessfulRescale.
    pub reason: String,
    /// The model, if the metric names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The queue latency over the pods that reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_latency: Option<String>,
    /// The target latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The arrival rate of the fleet, such as 25.3/s. Only algorithm Model measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<String>,
}

/// The current value of a metric.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// The metric's type: QueueLatency.
    #[serde(rename = "type")]
    pub type_: String,
    /// The current value of a QueueLatency metric.
    pub queue_latency: QueueLatencyStatus,
}

/// The current value of a QueueLatency metric.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QueueLatencyStatus {
    /// The model, if the metric names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The mean queue latency over the pods that report.
    pub average: String,
    /// The target latency.
    pub target: String,
    /// The replica count that this metric proposes.
    pub proposed_replicas: i32,
}

impl QueueLatencyStatus {
    /// Returns whether the mean queue latency exceeds the target latency; false if one of them is not a duration.
    pub fn is_above_target(&self) -> bool {
        let [average, target] = [&self.average, &self.target].map(|text| parse_positive(text));
        average
            .zip(target)
            .is_some_and(|(average, target)| average > target)
    }
}

/// The number of the target's pods by the state of their readings. Terminating and failed pods are not counted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Pods with a fresh reading that has a queue latency.
    pub fresh: i32,
    /// Pods with a fresh reading without a queue latency: the server is unreachable, frozen, empty or warming up.
    pub unknown: i32,
    /// Pods whose last reading is stale.
    pub stale: i32,
    /// Running pods without any reading.
    pub absent: i32,
    /// Pods that have not started yet.
    pub pending: i32,
}
