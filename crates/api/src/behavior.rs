//! `spec.behavior`: the fields and the validation of autoscaling/v2.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tolerance::Tolerance;

/// Limits how fast the replica count changes in each direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Scaling up. Default with algorithm Ratio: no stabilization, at most 4 pods or 100% in 15 s, whichever is more;
    /// with Model: no stabilization, and no limit but the algorithm's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Scaling down. Default with algorithm Ratio: a stabilization window of 300 s, and no rate limit; with Model: the
    /// computed hold, and at most half of the replicas in 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// The rules of one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// The seconds for which past proposals are considered before scaling: the highest one when scaling down, the
    /// lowest one when scaling up. Default: 0 when scaling up; when scaling down 300 with algorithm Ratio, and the
    /// computed hold with Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies applies. Default: Max.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// The rate limits. Default: those of the direction. With algorithm Model they replace its own limits of the
    /// direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// With algorithm Ratio: the deviation of the ratio of average to target from 1 that causes no scaling in this
    /// direction, a quantity such as 0.05 or 50m. Default: 0.1. Model ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// Which of several policies applies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The policy that allows the largest change.
    Max,
    /// The policy that allows the smallest change.
    Min,
    /// No scaling in this direction.
    Disabled,
}

/// A rate limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// The unit of value.
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// The maximum change within the period.
    #[schemars(range(min = 1))]
    pub value: i32,
    /// The length of the period in seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// The unit of a rate limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// Percent of the replica count at the start of the period.
    Percent,
}
