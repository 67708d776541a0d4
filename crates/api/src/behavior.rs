//! `spec.behavior`: the behavior of autoscaling/v2, field for field, with its validation.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tolerance::Tolerance;

/// How fast the size may move in each direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Upwards. Without it: no stabilization, at most 4 pods or 100 % in 15 s, whichever is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Downwards. Without it: the highest proposal of the last 300 s holds, then any step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// The rules of one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds of past proposals that are looked at before moving: 0 upwards and 300 downwards unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies applies; Max unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// At most so much change in so much time. Without them those of the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// How far from 1 the ratio of average to target may be without a change in this direction: a quantity
    /// such as 0.05 or 50m; 0.1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// Which of several policies applies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows most change.
    Max,
    /// The one that allows least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// At most so much change in so much time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods or percent.
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// How much.
    #[schemars(range(min = 1))]
    pub value: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// Pods or percent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// Percent of the size at the start of the period.
    Percent,
}
