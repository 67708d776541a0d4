//! The resource itself.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;
use crate::metric::MetricSpec;
use crate::schedule::Schedule;
use crate::status::PushScalerStatus;

/// A PushScaler keeps the number of pods of a model server such that requests wait about as long as they
/// should. It writes the `scale` subresource of its target, as a HorizontalPodAutoscaler does; the readings
/// are pushed by a sidecar in each pod.
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
    doc = "A PushScaler keeps the number of pods of a model server such that requests wait about as long as they should.",
    printcolumn(
        name = "Reference",
        type_ = "string",
        json_path = ".status.reference",
        description = "Whose replicas are written"
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
        .message("queueLatency.aggregate Max takes algorithm Ratio: the queue model knows no largest wait"),
)]
pub struct PushScalerSpec {
    /// The object whose replicas are written: a Deployment, a StatefulSet, or anything with a scale
    /// subresource, in the namespace of the PushScaler.
    pub scale_target_ref: ScaleTargetRef,
    /// The lower limit, 1 unless given.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_replicas: i32,
    /// The upper limit.
    #[schemars(range(min = 1))]
    pub max_replicas: i32,
    /// What is held against what. The metric that asks for most replicas wins.
    #[schemars(length(min = 1, max = 16))]
    pub metrics: Vec<MetricSpec>,
    /// How fast the size may move in each direction: the behavior of autoscaling/v2, field for field. Without it,
    /// Ratio goes up to double or 4 pods in 15 s, and down once 300 s have not asked for more; Model has a hold of
    /// its own and goes down by half in 15 s at most. With Model only what is written here limits further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// How the size is computed.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How requests find a pod. The queue model has to know.
    #[serde(default)]
    pub load_balancing: LoadBalancing,
    /// What becomes of a decision. Off is written in quotes: YAML takes the bare word for false.
    #[serde(default)]
    pub mode: Mode,
    /// Nothing is written in this direction, for now; what would be is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// What to do when no pod has told anything for a while. Without it the size stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Lower limits by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub schedules: Option<Vec<Schedule>>,
}

impl PushScalerSpec {
    /// Nothing but what must be given.
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
            schedules: None,
        }
    }
}

fn one() -> i32 {
    1
}

/// How the size is computed.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum Algorithm {
    /// The queue model: from arrivals and service times, the fewest replicas whose queues keep the target.
    #[default]
    Model,
    /// The rule of the HorizontalPodAutoscaler: replicas times (queue latency / target).
    Ratio,
}

/// How requests find a pod.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum LoadBalancing {
    /// Without regard to queues: kube-proxy, random, round robin.
    #[default]
    Random,
    /// To the pod with the fewest requests, as a mesh or a gateway may do.
    LeastRequest,
}

/// What becomes of a decision.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum Mode {
    /// It is written.
    #[default]
    Apply,
    /// It is told, in status.desiredReplicas, and not written.
    Recommend,
    /// There is none.
    Off,
}

/// A direction in which nothing is written.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The size does not rise.
    ScaleUp,
    /// The size does not fall.
    ScaleDown,
}

/// What to do when no pod has told anything for a while: at least so many replicas. It never lowers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// For how long nothing was known, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub after_seconds: i32,
    /// At least so many.
    #[schemars(range(min = 1))]
    pub replicas: i32,
}

/// The object whose replicas are written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// API group and version, such as apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Kind, such as Deployment.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name, in the namespace of the PushScaler.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
