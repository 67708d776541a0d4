//! Whether the target's pods can be created and scheduled.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, containers, pod_name};

pub(super) const CHECK: &str = "pods";

/// Quantities by resource.
type Resources = BTreeMap<String, Quantity>;

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in &subject.pods {
        if let Some(message) = unschedulable(pod) {
            findings.push(Finding::wrong(
                CHECK,
                format!("{}: pod {}", subject.name, pod_name(pod)),
                format!("it is not scheduled: {message}"),
                "add nodes, lower the pod's resource requests, or lower spec.maxReplicas",
            ));
        }
    }
    for message in failed_creations(snapshot, subject) {
        findings.push(Finding::wrong(
            CHECK,
            format!("{}: {}", subject.name, subject.target_name()),
            format!("pods are not created: {message}"),
            if message.contains("exceeded quota") {
                "raise the quota (kubectl get resourcequota), or lower spec.maxReplicas"
            } else {
                "correct what the message names: the API server or an admission webhook rejects the pods"
            },
        ));
    }
    findings.extend(exhausted_quotas(snapshot, subject));
    for kind in ["Deployment", "ResourceQuota"] {
        if let Some(reason) = snapshot.unread(kind) {
            let seen = format!("{}: {kind} could not be read: {reason}", subject.name);
            findings.push(Finding::skipped(CHECK, seen));
        }
    }
    if findings.is_empty() {
        let pods = subject.pods.len();
        let seen = format!(
            "{}: none of the pods ({pods}) waits for a node or a quota",
            subject.name
        );
        findings.push(Finding::good(CHECK, seen));
    }
    findings
}

fn unschedulable(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|found| found.type_ == "PodScheduled")?;
    let is_wrong =
        scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    is_wrong.then(|| scheduled.message.as_deref().unwrap_or("no message"))
}

/// Returns the messages of ReplicaFailure of the target.
fn failed_creations<'a>(snapshot: &'a Snapshot, subject: &Subject<'_>) -> Vec<&'a str> {
    let reference = &subject.scaler.spec.scale_target_ref;
    if reference.kind != "Deployment" {
        return Vec::new();
    }
    let is_target = |deployment: &&k8s_openapi::api::apps::v1::Deployment| {
        deployment.metadata.namespace.as_deref() == Some(subject.namespace)
            && deployment.metadata.name.as_deref() == Some(reference.name.as_str())
    };
    let deployments = snapshot.deployments.iter().filter(is_target);
    let conditions = deployments.flat_map(|found| {
        found
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
    });
    let failed = conditions.filter(|found| {
        found.type_.as_deref() == Some("ReplicaFailure") && found.status.as_deref() == Some("True")
    });
    failed
        .map(|found| found.message.as_deref().unwrap_or("no message"))
        .collect()
}

/// Returns the quotas of the namespace that are used up, if that keeps the target below its maximum.
fn exhausted_quotas(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let replicas = subject.target.and_then(|target| target.replicas);
    if replicas.is_none_or(|replicas| replicas >= subject.scaler.spec.max_replicas) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for quota in &snapshot.quotas {
        if quota.metadata.namespace.as_deref() != Some(subject.namespace) {
            continue;
        }
        let Some(status) = &quota.status else {
            continue;
        };
        for (resource, hard) in status.hard.iter().flatten() {
            let used = status.used.as_ref().and_then(|used| used.get(resource));
            // Equal quantities have equal texts, because the API server writes both in one form.
            if used == Some(hard) && is_needed(resource, &subject.pods) {
                let name = quota.metadata.name.as_deref().unwrap_or_default();
                findings.push(Finding::wrong(
                    CHECK,
                    format!("{}: ResourceQuota {name}", subject.name),
                    format!(
                        "{resource} is used up ({}): no further pod can be created",
                        hard.0
                    ),
                    "raise the quota, or lower spec.maxReplicas",
                ));
            }
        }
    }
    findings
}

/// Whether a further pod like these needs some of a quota's resource. A quota of other resources, such as storage or
/// GPUs, does not limit them.
fn is_needed(resource: &str, pods: &[&Pod]) -> bool {
    let names = |resources: Option<&Resources>, name: &str| {
        resources.is_some_and(|resources| resources.contains_key(name))
    };
    let requirements = || {
        let containers = pods.iter().flat_map(|pod| containers(pod));
        containers.filter_map(|container| container.resources.as_ref())
    };
    if matches!(resource, "pods" | "count/pods") {
        return true;
    }
    if pods.is_empty() {
        // What the first pod needs is unknown; nearly all need these.
        let resource = resource.strip_prefix("requests.").unwrap_or(resource);
        return matches!(resource, "cpu" | "memory");
    }
    match resource.strip_prefix("limits.") {
        Some(name) => requirements().any(|found| names(found.limits.as_ref(), name)),
        None => {
            // `cpu` is short for `requests.cpu`.
            let name = resource.strip_prefix("requests.").unwrap_or(resource);
            requirements().any(|found| names(found.requests.as_ref(), name))
        }
    }
}
