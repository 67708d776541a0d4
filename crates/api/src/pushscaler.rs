//! The resource itself.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;
use crate::metric::MetricSpec;
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
    /// How fast the size may move in each direction: the behavior of autoscaling/v2, field for field. Without
    /// it, up to double or 4 pods in 15 s, and down once 300 s have not asked for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// How the size is computed.
    #[serde(default)]
    pub algorithm: Algorithm,
}

fn one() -> i32 {
    1
}

/// How the size is computed.
#[derive(
    Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum Algorithm {
    /// The rule of the HorizontalPodAutoscaler: replicas times (mean queue latency / target).
    #[default]
    Ratio,
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
