//! From a decision to `status`, and back after a restart.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as KubeCondition, Time};
use pushscale_api::names::conditions::{
    ABLE_TO_SCALE, FRESH, METRICS_INCOMPLETE, SCALING_ACTIVE, SCALING_LIMITED, STUCK,
    TARGET_REACHABLE,
};
use pushscale_api::{MetricStatus, PodCounts, PushScalerStatus, QueueLatencyStatus, SpecProblem};
use pushscale_decision::{Condition, Conditions, Decision, Reason};

use crate::names::TargetRef;

/// The reason of ScalingActive=False when the spec itself is wrong, which only an object stored under an older
/// definition can be.
const INVALID_SPEC: &str = "InvalidSpec";

/// What a scaler keeps for its status beside the last decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chronicle {
    /// When the size was last written.
    pub(crate) last_scale_time: Option<Timestamp>,
    /// The conditions' types, whether they held, and since when.
    pub(crate) transitions: Vec<(String, bool, Timestamp)>,
}

/// What is found in the status after a restart.
#[derive(Debug, Default)]
pub(crate) struct BeforeRestart {
    pub(crate) conditions: Conditions,
    pub(crate) last_scale_time: Option<Timestamp>,
    pub(crate) transitions: Vec<(String, bool, Timestamp)>,
}

/// Reads what survives a restart. Anything that is not of our making is passed over.
pub(crate) fn before_restart(status: Option<&PushScalerStatus>) -> BeforeRestart {
    let Some(status) = status else {
        return BeforeRestart::default();
    };
    let mut before = BeforeRestart {
        last_scale_time: status.last_scale_time.as_ref().map(|time| time.0),
        ..BeforeRestart::default()
    };
    for found in &status.conditions {
        let holds = found.status == "True";
        before
            .transitions
            .push((found.type_.clone(), holds, found.last_transition_time.0));
        let condition = Reason::parse(&found.reason).map(|reason| Condition {
            status: holds,
            reason,
            message: found.message.clone(),
        });
        match found.type_.as_str() {
            ABLE_TO_SCALE => before.conditions.able_to_scale = condition,
            SCALING_ACTIVE => before.conditions.scaling_active = condition,
            SCALING_LIMITED => before.conditions.scaling_limited = condition,
            FRESH => before.conditions.fresh = condition,
            METRICS_INCOMPLETE => before.conditions.metrics_incomplete = condition,
            STUCK => before.conditions.stuck = condition,
            TARGET_REACHABLE => before.conditions.target_reachable = condition,
            _ => {}
        }
    }
    before
}

impl Chronicle {
    /// The status after `decision`. `conditions` are newer than the decision's own where a write has ended since.
    pub(crate) fn status(
        &mut self,
        target: &TargetRef,
        generation: Option<i64>,
        decision: &Decision,
        conditions: &Conditions,
        now: Timestamp,
    ) -> PushScalerStatus {
        let latency: Vec<String> = decision
            .metrics
            .iter()
            .map(|figure| format!("{}/{}", figure.average, figure.target))
            .collect();
        let current_metrics = decision.metrics.iter().map(|figure| MetricStatus {
            type_: "QueueLatency".to_owned(),
            queue_latency: QueueLatencyStatus {
                model: figure.model.as_deref().map(ToOwned::to_owned),
                average: figure.average.to_string(),
                target: figure.target.to_string(),
                proposed_replicas: int32(figure.proposed),
            },
        });
        let freshness = &decision.freshness;
        PushScalerStatus {
            observed_generation: generation,
            reference: Some(target.to_string()),
            current_replicas: decision.current.map(int32),
            desired_replicas: decision.desired().map(int32),
            last_scale_time: self.last_scale_time.map(Time),
            latency: Some(if latency.is_empty() {
                "<unknown>".to_owned()
            } else {
                latency.join(", ")
            }),
            current_metrics: current_metrics.collect(),
            pods: Some(PodCounts {
                fresh: int32(freshness.fresh),
                unknown: int32(freshness.unknown),
                stale: int32(freshness.stale),
                absent: int32(freshness.never_reported),
                pending: int32(freshness.pending),
            }),
            decision: Some(decision.to_string()),
            conditions: self.conditions(conditions, generation, now),
        }
    }

    /// The status of a scaler whose spec cannot be used.
    pub(crate) fn invalid(
        &mut self,
        target: &TargetRef,
        generation: Option<i64>,
        problems: &[SpecProblem],
        now: Timestamp,
    ) -> PushScalerStatus {
        let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = sentences.join("; ");
        PushScalerStatus {
            observed_generation: generation,
            reference: Some(target.to_string()),
            last_scale_time: self.last_scale_time.map(Time),
            decision: Some(format!("hold: {message}")),
            conditions: vec![self.condition(
                SCALING_ACTIVE,
                false,
                INVALID_SPEC,
                message,
                generation,
                now,
            )],
            ..PushScalerStatus::default()
        }
    }

    fn conditions(
        &mut self,
        conditions: &Conditions,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Vec<KubeCondition> {
        let all = [
            (ABLE_TO_SCALE, &conditions.able_to_scale),
            (SCALING_ACTIVE, &conditions.scaling_active),
            (SCALING_LIMITED, &conditions.scaling_limited),
            (FRESH, &conditions.fresh),
            (METRICS_INCOMPLETE, &conditions.metrics_incomplete),
            (STUCK, &conditions.stuck),
            (TARGET_REACHABLE, &conditions.target_reachable),
        ];
        all.into_iter()
            .filter_map(|(kind, found)| {
                let found = found.as_ref()?;
                let reason = found.reason.as_str();
                let message = found.message.clone();
                Some(self.condition(kind, found.status, reason, message, generation, now))
            })
            .collect()
    }

    /// lastTransitionTime moves only when the status does, not on a new reason (the HPA's `horizontal.go`).
    fn condition(
        &mut self,
        kind: &str,
        holds: bool,
        reason: &str,
        message: String,
        generation: Option<i64>,
        now: Timestamp,
    ) -> KubeCondition {
        let known = self
            .transitions
            .iter_mut()
            .find(|(found, ..)| found == kind);
        let since = match known {
            Some((_, held, since)) if *held == holds => *since,
            Some(entry) => {
                (entry.1, entry.2) = (holds, now);
                now
            }
            None => {
                self.transitions.push((kind.to_owned(), holds, now));
                now
            }
        };
        KubeCondition {
            type_: kind.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: Time(since),
        }
    }
}

/// What a reader of the status must hear of soon: everything but figures that move with every reading.
pub(crate) fn differs_in_substance(old: &PushScalerStatus, new: &PushScalerStatus) -> bool {
    let substance = |status: &PushScalerStatus| {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|found| {
                (
                    found.type_.clone(),
                    found.status.clone(),
                    found.reason.clone(),
                )
            })
            .collect();
        (
            status.observed_generation,
            status.reference.clone(),
            status.current_replicas,
            status.desired_replicas,
            status.last_scale_time.clone(),
            status.pods.clone(),
            conditions,
        )
    };
    substance(old) != substance(new)
}

fn int32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
