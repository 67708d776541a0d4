//! Converts decisions to the `status` subresource, and reads it back after a restart.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as KubeCondition, Time};
use pushscale_api::conditions;
use pushscale_api::names::conditions::{
    ABLE_TO_SCALE, DEMAND_VANISHED, FRESH, LOAD_UNEVEN, METRICS_INCOMPLETE, OUTSIDE_ENVELOPE,
    POD_OUTLIER, SCALING_ACTIVE, SCALING_LIMITED, STUCK, TARGET_REACHABLE,
};
use pushscale_api::{
    MAX_HISTORY, MetricStatus, PodCounts, PushScalerStatus, QueueLatencyStatus, ScaleChange,
    SpecProblem,
};
use pushscale_decision::{Condition, Conditions, Decision, Reason};

use crate::names::TargetRef;

/// The reason of ScalingActive=False for an invalid spec. Only an object that was stored under an older CRD can have
/// one.
const INVALID_SPEC: &str = "InvalidSpec";

/// What the status needs in addition to the last decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatusHistory {
    /// When the replica count was last written.
    pub(crate) last_scale_time: Option<Timestamp>,
    /// The conditions' types, whether they hold, and since when.
    pub(crate) transitions: Vec<(String, bool, Timestamp)>,
    /// The last changes of the replica count, newest first; at most [`MAX_HISTORY`].
    pub(crate) changes: Vec<ScaleChange>,
}

/// The parts of the status that survive a restart.
#[derive(Debug, Default)]
pub(crate) struct RestoredStatus {
    pub(crate) conditions: Conditions,
    pub(crate) last_scale_time: Option<Timestamp>,
    pub(crate) transitions: Vec<(String, bool, Timestamp)>,
    pub(crate) changes: Vec<ScaleChange>,
}

/// Restores state from the status after a restart. Unknown conditions are ignored.
pub(crate) fn restore(status: Option<&PushScalerStatus>) -> RestoredStatus {
    let Some(status) = status else {
        return RestoredStatus::default();
    };
    let mut restored = RestoredStatus {
        last_scale_time: status.last_scale_time.as_ref().map(|time| time.0),
        changes: status.history.iter().take(MAX_HISTORY).cloned().collect(),
        ..RestoredStatus::default()
    };
    for found in &status.conditions {
        let holds = found.status == "True";
        restored
            .transitions
            .push((found.type_.clone(), holds, found.last_transition_time.0));
        let condition = Reason::parse(&found.reason).map(|reason| Condition {
            status: holds,
            reason,
            message: found.message.clone(),
        });
        match found.type_.as_str() {
            ABLE_TO_SCALE => restored.conditions.able_to_scale = condition,
            SCALING_ACTIVE => restored.conditions.scaling_active = condition,
            SCALING_LIMITED => restored.conditions.scaling_limited = condition,
            FRESH => restored.conditions.fresh = condition,
            METRICS_INCOMPLETE => restored.conditions.metrics_incomplete = condition,
            STUCK => restored.conditions.stuck = condition,
            TARGET_REACHABLE => restored.conditions.target_reachable = condition,
            POD_OUTLIER => restored.conditions.pod_outlier = condition,
            LOAD_UNEVEN => restored.conditions.load_uneven = condition,
            DEMAND_VANISHED => restored.conditions.demand_vanished = condition,
            OUTSIDE_ENVELOPE => restored.conditions.outside_envelope = condition,
            _ => {}
        }
    }
    restored
}

impl StatusHistory {
    /// Records that a replica count was written at `now`.
    pub(crate) fn record_change(&mut self, now: Timestamp, change: ScaleChange) {
        self.last_scale_time = Some(now);
        self.changes.truncate(MAX_HISTORY - 1);
        self.changes.insert(
            0,
            ScaleChange {
                time: Time(now),
                ..change
            },
        );
    }

    /// Records a change by the previous leader, unless its status already contains it. The deciding metric is unknown.
    /// Returns the replica count before.
    pub(crate) fn record_predecessors_change(
        &mut self,
        now: Timestamp,
        from: u32,
        to: u32,
    ) -> Option<i32> {
        let (from, to) = (int32(from), int32(to));
        if self.changes.first().is_some_and(|change| change.to == to) {
            return None;
        }
        let change = ScaleChange {
            time: Time(now),
            from,
            to,
            reason: "written by the previous leader".to_owned(),
            model: None,
            queue_latency: None,
            target: None,
            arrival_rate: None,
        };
        self.record_change(now, change);
        Some(from)
    }

    /// Continues the changes that the previous leader has stored. Those that this one has made since are kept. Returns
    /// the replica count before the oldest of them.
    pub(crate) fn continue_changes(
        &mut self,
        last_scale_time: Option<Timestamp>,
        stored: Vec<ScaleChange>,
    ) -> Option<i32> {
        let newest = stored.first().map(|change| change.time.0);
        self.changes
            .retain(|change| newest.is_none_or(|newest| change.time.0 > newest));
        let before = self.changes.last().map(|oldest| oldest.from);
        self.changes.extend(stored);
        self.changes.truncate(MAX_HISTORY);
        self.last_scale_time = self.last_scale_time.max(last_scale_time);
        before
    }

    /// Builds the status after `decision`, without `replicasBefore`. `conditions` may be newer than the decision's own,
    /// if a write has ended since.
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
            history: self.changes.clone(),
            conditions: self.conditions(conditions, generation, now),
            ..PushScalerStatus::default()
        }
    }

    /// Builds the status of a scaler with an invalid spec, without `replicasBefore`.
    pub(crate) fn invalid_spec_status(
        &mut self,
        target: &TargetRef,
        generation: Option<i64>,
        problems: &[SpecProblem],
        now: Timestamp,
    ) -> PushScalerStatus {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = problems.join("; ");
        PushScalerStatus {
            observed_generation: generation,
            reference: Some(target.to_string()),
            last_scale_time: self.last_scale_time.map(Time),
            decision: Some(format!("hold: {message}")),
            history: self.changes.clone(),
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
        conditions::by_type(conditions)
            .into_iter()
            .filter_map(|(kind, found)| {
                let found = found.as_ref()?;
                let reason = found.reason.as_str();
                let message = found.message.clone();
                Some(self.condition(kind, found.status, reason, message, generation, now))
            })
            .collect()
    }

    /// Builds one condition. `lastTransitionTime` changes only with the status, not with the reason (the HPA's
    /// `horizontal.go`).
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

/// Whether the statuses differ in more than figures that change with every reading.
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
            status.replicas_before,
            status.pods.clone(),
            conditions,
        )
    };
    substance(old) != substance(new)
}

fn int32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
