//! What the aggregator reports in the conditions: it knows the readings and its own permissions.

use pushscale_api::PushScalerStatus;
use pushscale_api::names::conditions::SCALING_LIMITED;

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject};
use crate::output::Urgency;
use crate::status::is_problem;

pub(super) const CHECK: &str = "conditions";

pub(super) fn check(_: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let status = subject.scaler.status.as_ref();
    let Some(status) = status.filter(|status| !status.conditions.is_empty()) else {
        return vec![Finding::wrong(
            CHECK,
            format!("{}: status", subject.name),
            "the aggregator has reported nothing",
            "check that it watches this namespace (aggregator.watchNamespace), and its log",
        )];
    };
    let mut findings = Vec::new();
    findings.extend(too_few_replicas(subject, status));
    for condition in &status.conditions {
        // A limit is what the user asked for, and mode Off a choice.
        let urgency = is_problem(&condition.type_, &condition.status);
        let is_wanted = condition.type_ == SCALING_LIMITED || condition.reason == "ModeOff";
        if urgency.is_none_or(|urgency| urgency == Urgency::None) || is_wanted {
            continue;
        }
        findings.push(Finding::wrong(
            CHECK,
            format!(
                "{}: {}={}, {}",
                subject.name, condition.type_, condition.status, condition.reason
            ),
            condition.message.clone(),
            "docs/RUNBOOK.md and docs/REFERENCE.md, Conditions of a PushScaler",
        ));
    }
    if findings.is_empty() {
        let count = status.conditions.len();
        findings.push(Finding::good(
            CHECK,
            format!(
                "{}: {count} conditions, none reports a problem",
                subject.name
            ),
        ));
    }
    findings
}

/// Reports that `maxReplicas` is reached and requests wait nevertheless: the limit is what the user asked for, but not
/// the latency.
fn too_few_replicas(subject: &Subject<'_>, status: &PushScalerStatus) -> Option<Finding> {
    let is_limited = status.conditions.iter().any(|condition| {
        condition.type_ == SCALING_LIMITED
            && condition.status == "True"
            && condition.reason == "TooManyReplicas"
    });
    if !is_limited {
        return None;
    }
    let mut latencies = status
        .current_metrics
        .iter()
        .map(|metric| &metric.queue_latency);
    let late = latencies.find(|latency| latency.is_above_target())?;
    Some(Finding::wrong(
        CHECK,
        format!("{}: ScalingLimited=True, TooManyReplicas", subject.name),
        format!(
            "requests wait {} on average, the target is {}, and maxReplicas allows no more than {} replicas",
            late.average, late.target, subject.scaler.spec.max_replicas
        ),
        "raise maxReplicas, or the target latency",
    ))
}
