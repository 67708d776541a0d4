//! Whether HorizontalPodAutoscalers get the external metrics of the aggregator.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::Value;

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::Snapshot;

const CHECK: &str = "external-metrics";

/// Checks the APIService, if the chart has installed it. A cluster has one server of external metrics, perhaps another.
pub(super) fn check(snapshot: &Snapshot) -> Option<Finding> {
    if let Some(reason) = snapshot.unread("APIService") {
        let seen = format!("the APIService could not be read: {reason}");
        return Some(Finding::skipped(CHECK, seen));
    }
    let object = snapshot.api_service.as_ref()?;
    let metadata = &object["metadata"];
    if metadata["labels"]["app.kubernetes.io/part-of"] != "pushscale" {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let service = &object["spec"]["service"];
    let (namespace, service) = (text(&service["namespace"]), text(&service["name"]));
    let seen = format!(
        "APIService {} of Service {namespace}/{service}",
        text(&metadata["name"])
    );
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let (status, why) = match conditions.find(|condition| condition["type"] == "Available") {
        Some(found) if found["status"] == "True" => return Some(Finding::good(CHECK, seen)),
        Some(found) => (
            format!("{}, {}", text(&found["status"]), text(&found["reason"])),
            text(&found["message"]),
        ),
        None => (
            "unknown".to_owned(),
            "the API server has not reported on it".to_owned(),
        ),
    };
    Some(Finding::wrong(
        CHECK,
        format!("{seen}: Available={status}"),
        format!("{why}; HorizontalPodAutoscalers on external metrics do not scale"),
        format!(
            "check that the aggregators in namespace {namespace} are ready, and that the API server reaches Service {service} (docs/EXTERNAL-METRICS.md, externalMetrics.port)"
        ),
    ))
}

/// Returns what keeps an HPA from scaling, which follows the metrics of a PushScaler if that only recommends.
pub(super) fn inactive(subject: &str, hpa: &HorizontalPodAutoscaler) -> Option<Finding> {
    let metadata = &hpa.metadata;
    let conditions = hpa.status.iter().flat_map(|status| &status.conditions);
    let found = conditions
        .flatten()
        .find(|found| found.type_ == "ScalingActive" && found.status == "False")?;
    let name = metadata.name.as_deref().unwrap_or_default();
    let reason = found.reason.as_deref().unwrap_or_default();
    // Its target has no replicas, as KEDA leaves an idle one.
    if reason == "ScalingDisabled" {
        return None;
    }
    let message = found.message.as_deref().unwrap_or("no message");
    Some(Finding::wrong(
        CHECK,
        format!("{subject}: HorizontalPodAutoscaler {name}: ScalingActive=False, {reason}"),
        format!("it does not scale: {message}"),
        format!(
            "see kubectl -n {} describe hpa {name}, and for the metrics of Pushscale docs/EXTERNAL-METRICS.md, An unknown value is an error",
            metadata.namespace.as_deref().unwrap_or_default()
        ),
    ))
}
