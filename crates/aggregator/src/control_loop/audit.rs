//! The audit log: one line for each changed decision.

use pushscale_daemon::logging::AUDIT;
use pushscale_decision::{Decision, Latency, Outcome};

use crate::names::{ScalerKey, TargetRef};
use crate::scale_change::{DecidingFigures, reason_text};

/// The version of the fields below. A change of the meaning of a field, or its removal, raises it.
const SCHEMA: u32 = 1;

/// Logs a decision. docs/REFERENCE.md documents the fields. A field that is unknown is absent.
pub(super) fn log(key: &ScalerKey, target: &TargetRef, decision: &Decision) {
    let figures = DecidingFigures::from_decision(decision);
    let (outcome, reason) = match &decision.outcome {
        Outcome::Scale { reason, .. } => ("scale", reason_text(reason)),
        Outcome::Recommend { reason, .. } => ("recommend", reason_text(reason)),
        Outcome::Hold(hold) => ("hold", hold.to_string()),
    };
    tracing::info!(
        target: AUDIT,
        schema = SCHEMA,
        autoscaler = %key,
        reference = %target,
        outcome,
        reason,
        current = decision.current,
        desired = decision.desired(),
        model = figures.model.as_deref(),
        latency_seconds = figures.latency.map(Latency::as_secs_f64),
        target_seconds = figures.target.map(Latency::as_secs_f64),
        arrival_rate = figures.arrival_rate,
        pods_reporting = decision.freshness.fresh,
        %decision,
        "decision changed"
    );
}
