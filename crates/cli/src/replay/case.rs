//! The format of a recorded case.

use std::collections::BTreeMap;

use pushscale_api::Behavior;
use serde::Deserialize;

use super::read::strict_behavior;

/// The passes of one autoscaler, from its creation on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// Where in its file it was found, from 1.
    #[serde(skip)]
    pub line: usize,
    /// What it shows, in words joined by hyphens.
    pub name: String,
    /// What the user asked for at first.
    pub policy: CasePolicy,
    /// The flags of the controller that decided.
    pub controller: Controller,
    /// All passes, in order.
    pub steps: Vec<Step>,
}

/// What the user asks for: one metric without a name (`targetMilli`), or several (`metrics`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CasePolicy {
    /// The smallest size, 1 or more.
    pub min_replicas: i32,
    /// The largest size.
    pub max_replicas: i32,
    /// What the mean over the pods should be, in thousandths of the metric's unit.
    pub target_milli: Option<i64>,
    /// Instead of `targetMilli`: each metric with its target.
    #[serde(default)]
    pub metrics: Vec<CaseMetric>,
    /// As the user wrote it. Absent is not the same as empty.
    #[serde(default, deserialize_with = "strict_behavior")]
    pub behavior: Option<Behavior>,
}

/// One metric of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseMetric {
    /// The name under which pods report it.
    pub name: String,
    /// What the mean over the pods should be, in thousandths of the metric's unit.
    pub target_milli: i64,
}

/// The flags of the controller.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// How far from 1 a ratio changes nothing, in thousandths.
    pub tolerance_milli: u32,
    /// How long the highest proposal outlives the load that asked for it, in seconds.
    pub downscale_stabilization_seconds: u64,
    /// The time between two passes, in seconds. The steps hold their times themselves.
    pub sync_seconds: u64,
}

/// One pass: what is so before it, and what was decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Seconds since the autoscaler was created.
    pub at: f64,
    /// The controller started anew just before: what it remembered is gone.
    #[serde(default)]
    pub restart: bool,
    /// The policy from now on.
    pub policy: Option<CasePolicy>,
    /// The size that somebody else set just before.
    pub spec_replicas: Option<u32>,
    /// All pods under the target's selector.
    pub pods: Vec<CasePod>,
    /// What is wrong in this pass.
    pub fault: Option<Fault>,
    /// The metrics, by name, for which the metrics API has no answer in this pass.
    #[serde(default)]
    pub metric_fault: Vec<String>,
    /// What was decided.
    pub expect: Expect,
}

/// One pod and its samples: `valueMilli` for one metric without a name, `valuesMilli` for several. Null, or
/// nothing: no sample.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CasePod {
    /// Its name, unique in the step.
    pub name: String,
    /// `status.phase`.
    pub phase: CasePhase,
    /// Its condition Ready.
    pub ready: bool,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// Its sample of the one metric, in thousandths of the metric's unit.
    pub value_milli: Option<i64>,
    /// Its sample of each metric.
    #[serde(default)]
    pub values_milli: BTreeMap<String, Option<i64>>,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum CasePhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// What is wrong with the cluster during a pass.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The target's kind cannot be mapped.
    KindUnknown,
    /// There is no such target.
    TargetMissing,
    /// The scale has no selector.
    SelectorEmpty,
    /// The scale's selector does not parse.
    SelectorInvalid,
    /// Another autoscaler selects the same pods.
    SelectorShared,
    /// The first write of the size meets a conflict.
    WriteConflictOnce,
    /// Every write does.
    WriteConflictAlways,
    /// The write is forbidden.
    WriteRefused,
}

/// What was decided in a pass.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The target's size after the pass.
    pub desired: u32,
    /// Whether the size was written.
    pub patched: bool,
    /// `status.desiredReplicas` where it differs. Ours keeps none of its own, so it is not compared.
    pub status_desired: Option<u32>,
    /// All conditions after the pass, as "Status/Reason".
    pub conditions: BTreeMap<String, String>,
}
