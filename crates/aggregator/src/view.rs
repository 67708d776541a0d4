//! The data behind the pages, separate from the control loop's own state so that the latter can change.

use std::time::Duration;

use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Moment};
use serde::{Deserialize, Serialize};

use crate::names::{ScalerKey, TargetRef};

/// One scaler, for `/debug/scalers`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalerView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Kind and name of its target.
    pub target: String,
    /// Problems in its spec.
    pub problems: Vec<String>,
    /// The last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionView>,
    /// The learned time from the creation of a pod until it is ready, in seconds; absent before one was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay_seconds: Option<f64>,
    /// The status as last reported to Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PushScalerStatus>,
}

/// A decision with its steps.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// When it was made, in seconds since the Unix epoch by the clock at the aggregator's start, like the times of a
    /// recording.
    pub at_seconds: f64,
    /// How long ago it was made, in seconds.
    pub age_seconds: f64,
    /// The outcome.
    pub outcome: String,
    /// The steps of the decision, in order.
    pub steps: Vec<String>,
    /// Why there are not more replicas.
    #[serde(default)]
    pub not_more: Vec<String>,
    /// What would have to change for more replicas.
    #[serde(default)]
    pub more_if: Vec<String>,
    /// Why there are not fewer replicas.
    #[serde(default)]
    pub not_fewer: Vec<String>,
    /// What would have to change for fewer replicas.
    #[serde(default)]
    pub fewer_if: Vec<String>,
    /// Replicas in the target's spec at that time.
    pub current_replicas: Option<u32>,
    /// Desired replicas.
    pub desired_replicas: Option<u32>,
    /// The average of each metric.
    pub figures: Vec<FigureView>,
    /// How many pods report, and why the others do not.
    pub freshness: String,
}

/// An average and its target.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FigureView {
    /// The model, if the metric names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The mean queue latency over the pods, in seconds.
    pub average_seconds: f64,
    /// The target latency, in seconds.
    pub target_seconds: f64,
    /// The replicas that this metric alone proposes.
    pub proposed_replicas: u32,
}

impl ScalerView {
    pub(crate) fn new(
        key: &ScalerKey,
        target: &TargetRef,
        now: Moment,
        decision: Option<&Decision>,
        start_delay: Option<Duration>,
        status: Option<&PushScalerStatus>,
        problems: Vec<String>,
    ) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            target: target.to_string(),
            problems,
            decision: decision.map(|decision| DecisionView::new(now, decision)),
            start_delay_seconds: start_delay.map(|delay| delay.as_secs_f64()),
            status: status.cloned(),
        }
    }
}

impl DecisionView {
    fn new(now: Moment, decision: &Decision) -> Self {
        let alternatives = decision.alternatives();
        Self {
            at_seconds: decision.at.since_origin().as_secs_f64(),
            age_seconds: now.since(decision.at).as_secs_f64(),
            outcome: decision.outcome.to_string(),
            steps: decision.steps.iter().map(ToString::to_string).collect(),
            not_more: alternatives.not_more,
            more_if: alternatives.more_if,
            not_fewer: alternatives.not_fewer,
            fewer_if: alternatives.fewer_if,
            current_replicas: decision.current,
            desired_replicas: decision.desired(),
            figures: decision
                .metrics
                .iter()
                .map(|figure| FigureView {
                    model: figure.model.as_deref().map(ToOwned::to_owned),
                    average_seconds: figure.average.as_secs_f64(),
                    target_seconds: figure.target.as_secs_f64(),
                    proposed_replicas: figure.proposed,
                })
                .collect(),
            freshness: decision.freshness.to_string(),
        }
    }
}
