//! The PushScaler resource.

use kube::{CustomResource, KubeSchema};
use pushscale_decision::ViolationPrice;
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;
use crate::metric::MetricSpec;
use crate::schedule::Schedule;
use crate::status::PushScalerStatus;

/// A PushScaler scales a model server so that its requests meet a target latency. It writes the `scale` subresource of
/// its target, like a HorizontalPodAutoscaler. A sidecar in each pod pushes the readings.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pushscale.dev",
    version = "v1alpha1",
    kind = "PushScaler",
    plural = "pushscalers",
    shortname = "psc",
    category = "all",
    namespaced,
    status = "PushScalerStatus",
    derive = "PartialEq",
    doc = "A PushScaler scales a model server so that its requests meet a target latency.",
    printcolumn(
        name = "Reference",
        type_ = "string",
        json_path = ".status.reference",
        description = "The scaled object"
    ),
    printcolumn(
        name = "Latency",
        type_ = "string",
        json_path = ".status.latency",
        description = "Mean queue latency over the pods / target"
    ),
    printcolumn(name = "MinPods", type_ = "integer", json_path = ".spec.minReplicas"),
    printcolumn(name = "MaxPods", type_ = "integer", json_path = ".spec.maxReplicas"),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.currentReplicas"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Why",
        type_ = "string",
        json_path = ".status.decision",
        description = "The last decision, step by step",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("spec.minReplicas must not be greater than spec.maxReplicas"),
    validation = Rule::new("!has(self.fallback) || self.fallback.replicas <= self.maxReplicas")
        .message("spec.fallback.replicas must not be greater than spec.maxReplicas"),
    validation = Rule::new("!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.maxReplicas)")
        .message("spec.schedules[].minReplicas must not be greater than spec.maxReplicas"),
    validation = Rule::new("self.algorithm == 'Ratio' || self.metrics.all(m, m.queueLatency.aggregate != 'Max')")
        .message("queueLatency.aggregate Max requires algorithm Ratio: the queueing model does not predict the maximum"),
)]
pub struct PushScalerSpec {
    /// The object to scale: a Deployment, a StatefulSet, or anything else with a scale subresource, in the namespace of
    /// the PushScaler.
    pub scale_target_ref: ScaleTargetRef,
    /// The minimum replica count. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_replicas: i32,
    /// The maximum replica count.
    #[schemars(range(min = 1))]
    pub max_replicas: i32,
    /// The metrics. The one with the highest proposal determines the replica count.
    #[schemars(length(min = 1, max = 16))]
    pub metrics: Vec<MetricSpec>,
    /// Limits how fast the replica count changes: the behavior of autoscaling/v2. Without it, algorithm Ratio at most
    /// doubles the replica count, or raises it to 4, within 15 s, and scales down after a stabilization window of 300
    /// s; Model computes its own hold and removes at most half of the replicas within 15 s. With Model, only the fields
    /// that are set limit further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// How the replica count is computed.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How requests are distributed among the pods. The queueing model depends on it.
    #[serde(default)]
    pub load_balancing: LoadBalancing,
    /// What happens to decisions. Write "Off" in quotes: YAML parses the bare word as false.
    #[serde(default)]
    pub mode: Mode,
    /// Pauses scaling in one direction. Decisions are still reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// A minimum for the time when no metric can be computed: no pod reports, or with algorithm Model the service time
    /// is unknown. Without it the replica count stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// With algorithm Model: the price of a second in which requests wait more than four times the target, in
    /// pod-seconds for a fleet of one pod; multiplied by the fourth root of the pods. A higher price keeps more pods in
    /// reserve. Default: 366.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = ViolationPrice::MAX))]
    pub pod_seconds_per_violation: Option<i32>,
    /// Recurring minimum replica counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub schedules: Option<Vec<Schedule>>,
    /// What happens to the replica count when the PushScaler is deleted. Restore applies in mode Apply only.
    #[serde(default)]
    pub on_delete: OnDelete,
}

impl PushScalerSpec {
    /// Creates a spec with defaults for all optional fields.
    pub fn new(target: ScaleTargetRef, max_replicas: i32, metrics: Vec<MetricSpec>) -> Self {
        Self {
            scale_target_ref: target,
            min_replicas: one(),
            max_replicas,
            metrics,
            behavior: None,
            algorithm: Algorithm::default(),
            load_balancing: LoadBalancing::default(),
            mode: Mode::default(),
            pause: None,
            fallback: None,
            pod_seconds_per_violation: None,
            schedules: None,
            on_delete: OnDelete::default(),
        }
    }
}

fn one() -> i32 {
    1
}

/// How the replica count is computed.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum Algorithm {
    /// The queueing model: the smallest replica count that meets the target, from arrival rate and service time.
    #[default]
    Model,
    /// The HorizontalPodAutoscaler's rule: replicas * (queue latency / target).
    Ratio,
}

/// How requests are distributed among the pods.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum LoadBalancing {
    /// Independently of queues: kube-proxy, random, round robin.
    #[default]
    Random,
    /// To the pod with the fewest requests, as a mesh or a gateway can do.
    LeastRequest,
}

/// What happens to decisions.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum Mode {
    /// Decisions are written to the target.
    #[default]
    Apply,
    /// Decisions are reported in status.desiredReplicas and not written.
    Recommend,
    /// No decisions are made.
    Off,
}

/// What happens to the replica count when the PushScaler is deleted.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum OnDelete {
    /// The replica count stays as it is.
    #[default]
    Keep,
    /// The replica count from before the first change by Pushscale, status.replicasBefore, is written back. A finalizer
    /// delays the deletion until then.
    Restore,
}

/// The direction in which scaling is paused.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The replica count does not increase.
    ScaleUp,
    /// The replica count does not decrease.
    ScaleDown,
}

/// A minimum replica count for the time when no metric can be computed. It never scales down.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// The seconds without a metric after which the fallback applies.
    #[schemars(range(min = 1, max = 86400))]
    pub after_seconds: i32,
    /// The minimum replica count.
    #[schemars(range(min = 1))]
    pub replicas: i32,
}

/// The object to scale.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The API group and version, such as apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// The kind, such as Deployment.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The name. The namespace is that of the PushScaler.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
