//! Whether every pod has a sidecar that runs.

use k8s_openapi::api::core::v1::Pod;
use pushscale_api::names::{SIDECAR_CONTAINER, annotations, inject};

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, pod_name, sidecar};

pub(super) const CHECK: &str = "sidecars";

pub(super) fn check(_: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    if subject.pods.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let missing: Vec<_> = subject
        .pods
        .iter()
        .filter(|pod| sidecar(pod).is_none())
        .collect();
    if let Some(first) = missing.first() {
        let names: Vec<_> = missing.iter().map(|pod| pod_name(pod)).collect();
        let skipped = annotation(first, annotations::SKIPPED);
        let (wrong, fix) = match skipped {
            Some(reason) => (
                format!("no sidecar: {reason}"),
                "correct what the message names, and restart the pods (docs/REFERENCE.md, Annotations)".to_owned(),
            ),
            None => (
                "no sidecar: the pods cannot report".to_owned(),
                format!(
                    "label the namespace (kubectl label namespace {} {}={}) and restart the pods, or use pushscale inject",
                    subject.namespace,
                    inject::LABEL,
                    inject::ENABLED
                ),
            ),
        };
        let seen = format!(
            "{}: {} of {} pods: {}",
            subject.name,
            missing.len(),
            subject.pods.len(),
            names.join(", ")
        );
        findings.push(Finding::wrong(CHECK, seen, wrong, fix));
    }
    for pod in &subject.pods {
        if let Some(state) = failing(pod) {
            findings.push(Finding::wrong(
                CHECK,
                format!("{}: pod {}", subject.name, pod_name(pod)),
                format!("the sidecar does not run: {state}"),
                format!(
                    "kubectl -n {} logs {} -c {SIDECAR_CONTAINER}",
                    subject.namespace,
                    pod_name(pod)
                ),
            ));
        }
    }
    if findings.is_empty() {
        let seen = format!(
            "{}: all pods ({}) have a sidecar",
            subject.name,
            subject.pods.len()
        );
        findings.push(Finding::good(CHECK, seen));
    }
    findings
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

/// Returns why the sidecar's container waits, other than for its start.
fn failing(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten();
    let mut all = all.chain(status.container_statuses.iter().flatten());
    let found = all.find(|found| found.name == SIDECAR_CONTAINER)?;
    let waiting = found.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    if matches!(reason, "PodInitializing" | "ContainerCreating") {
        return None;
    }
    Some(match &waiting.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}
