//! The format of a recorded case.

use std::collections::BTreeMap;

use pushscale_api::Behavior;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) policy: CasePolicy,
    pub(crate) controller: Controller,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CasePolicy {
    pub(crate) min_replicas: i32,
    pub(crate) max_replicas: i32,
    pub(crate) target_milli: i64,
    pub(crate) behavior: Option<Behavior>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Controller {
    pub(crate) tolerance_milli: u32,
    pub(crate) downscale_stabilization_seconds: u64,
    #[expect(dead_code, reason = "the steps hold their times themselves")]
    pub(crate) sync_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) at: f64,
    #[serde(default)]
    pub(crate) restart: bool,
    pub(crate) policy: Option<CasePolicy>,
    pub(crate) spec_replicas: Option<u32>,
    pub(crate) pods: Vec<CasePod>,
    pub(crate) fault: Option<Fault>,
    pub(crate) expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CasePod {
    pub(crate) name: String,
    pub(crate) phase: CasePhase,
    pub(crate) ready: bool,
    pub(crate) deleting: bool,
    pub(crate) value_milli: Option<i64>,
}

#[derive(Clone, Copy, Deserialize)]
pub(crate) enum CasePhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Fault {
    KindUnknown,
    TargetMissing,
    SelectorEmpty,
    SelectorInvalid,
    SelectorShared,
    WriteConflictOnce,
    WriteConflictAlways,
    WriteRefused,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) desired: u32,
    pub(crate) patched: bool,
    /// `status.desiredReplicas` where it differs: ours keeps none of its own, so it is not compared.
    #[expect(dead_code, reason = "see above")]
    pub(crate) status_desired: Option<u32>,
    pub(crate) conditions: BTreeMap<String, String>,
}
