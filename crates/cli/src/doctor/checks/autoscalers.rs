//! Whether another autoscaler writes the same target.

use pushscale_api::Mode;
use serde_json::Value;

use super::external_metrics;
use crate::adopt::{PAUSED, PAUSED_REPLICAS};
use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, group_and_version};

pub(super) const CHECK: &str = "autoscalers";

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let reference = &subject.scaler.spec.scale_target_ref;
    // The versions of one group have the same objects.
    let (group, _) = group_and_version(&reference.api_version);
    let is_target = |api_version: &str, kind: &str, name: &str| {
        group_and_version(api_version).0 == group
            && kind == reference.kind
            && name == reference.name
    };
    let (mut others, mut hpas) = (Vec::new(), Vec::new());
    for hpa in &snapshot.hpas {
        let is_here = hpa.metadata.namespace.as_deref() == Some(subject.namespace);
        let target = &hpa.spec.scale_target_ref;
        let api_version = target.api_version.as_deref().unwrap_or_default();
        if is_here && is_target(api_version, &target.kind, &target.name) {
            let name = hpa.metadata.name.as_deref().unwrap_or_default();
            others.push(format!("HorizontalPodAutoscaler {name}"));
            hpas.push(hpa);
        }
    }
    for object in &snapshot.scaled_objects {
        let target = &object["spec"]["scaleTargetRef"];
        let is_here = object["metadata"]["namespace"] == subject.namespace && !is_paused(object);
        let text = |field: &str, default| target[field].as_str().unwrap_or(default);
        let (api_version, kind) = (text("apiVersion", "apps/v1"), text("kind", "Deployment"));
        if is_here && is_target(api_version, kind, text("name", "")) {
            let object = object["metadata"]["name"].as_str().unwrap_or_default();
            others.push(format!("KEDA's ScaledObject {object}"));
        }
    }
    for other in &snapshot.scalers {
        let target = &other.spec.scale_target_ref;
        let is_here = other.metadata.namespace == subject.scaler.metadata.namespace;
        let is_other = other.metadata.name != subject.scaler.metadata.name;
        if is_here
            && is_other
            && is_target(&target.api_version, &target.kind, &target.name)
            && other.spec.mode == Mode::Apply
        {
            let other = other.metadata.name.as_deref().unwrap_or_default();
            others.push(format!("PushScaler {other}"));
        }
    }
    let target = subject.target_name();
    let mut findings: Vec<_> = ["HorizontalPodAutoscaler", "ScaledObject"]
        .into_iter()
        .filter_map(|kind| {
            let reason = snapshot.unread(kind)?;
            Some(Finding::skipped(
                CHECK,
                format!("{}: {kind} could not be read: {reason}", subject.name),
            ))
        })
        .collect();
    if others.is_empty() {
        // What could not be read may be another autoscaler.
        if findings.is_empty() {
            let seen = format!("{}: no other autoscaler has {target}", subject.name);
            findings.push(Finding::good(CHECK, seen));
        }
        return findings;
    }
    findings.push(if subject.scaler.spec.mode == Mode::Apply {
        Finding::wrong(
            CHECK,
            format!(
                "{}: {} also scales {target}",
                subject.name,
                others.join(", ")
            ),
            "two autoscalers would write one target: Pushscale does not",
            "delete one of them, or set spec.mode to Recommend (docs/MIGRATING.md)",
        )
    } else {
        let others = others.join(", ");
        Finding::good(
            CHECK,
            format!(
                "{}: {others} scales {target}, this PushScaler does not write",
                subject.name
            ),
        )
    });
    if subject.scaler.spec.mode != Mode::Apply {
        let inactive = |hpa| external_metrics::inactive(&subject.name, hpa);
        findings.extend(hpas.into_iter().filter_map(inactive));
    }
    findings
}

/// Whether KEDA does not scale for a ScaledObject, as after `pushscale adopt --switch`. As long as it has not deleted
/// its HorizontalPodAutoscaler, that is found itself. With `paused-replicas`, KEDA sets the replicas.
fn is_paused(object: &Value) -> bool {
    let annotations = &object["metadata"]["annotations"];
    annotations[PAUSED] == "true" && annotations[PAUSED_REPLICAS].is_null()
}
