//! The objects of the cluster, trimmed to the fields in use.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use pushscale_api::names::FIELD_MANAGER;
use pushscale_api::{PushScalerSpec, PushScalerStatus, Schedules, SpecProblem, policy_of};
use pushscale_decision::{Phase, Pod, PodUid, Policy};
use serde::Deserialize as _;

use crate::deletion_cost;
use crate::event::{CompetingHpa, DeletionFacts, ScalerDeletion, StoredStatus};
use crate::names::{ScalerKey, TargetRef};
use crate::status::{RestoredStatus, restore};

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WatchedPod {
    pub(super) namespace: String,
    pub(super) uid: PodUid,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) pod: Pod,
    pub(super) deletion: DeletionFacts,
}

/// A PushScaler.
#[derive(Debug)]
pub(super) struct WatchedScaler {
    pub(super) key: ScalerKey,
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) target: TargetRef,
    pub(super) policy: Result<Policy, Vec<SpecProblem>>,
    /// `None` if it does not parse.
    pub(super) spec: Option<PushScalerSpec>,
    pub(super) schedules: Schedules,
    pub(super) restored: RestoredStatus,
    pub(super) deletion: ScalerDeletion,
}

/// A target. Whatever field its kind keeps the replicas in, they are read through `/scale`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatchedTarget {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether an aggregator wrote the replicas last.
    pub(super) written_by_us: bool,
}

/// Trims a pod. `None` without a uid.
pub(super) fn pod(pod: KubePod) -> Option<WatchedPod> {
    Some(WatchedPod {
        namespace: pod.namespace()?,
        uid: pod.metadata.uid.clone()?.into(),
        pod: pod_state(&pod),
        deletion: deletion_facts(&pod),
        labels: pod.metadata.labels.unwrap_or_default(),
    })
}

fn pod_state(pod: &KubePod) -> Pod {
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    };
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default().into(),
        phase,
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
    }
}

fn deletion_facts(pod: &KubePod) -> DeletionFacts {
    let created = pod.metadata.creation_timestamp.as_ref();
    let owners = pod.metadata.owner_references.iter().flatten();
    DeletionFacts {
        created: created.map(|created| created.0),
        honours_cost: owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| owner.kind == "ReplicaSet"),
        cost_owner: deletion_cost::owner(pod),
    }
}

/// Trims a HorizontalPodAutoscaler. `None` without a name.
pub(super) fn hpa(hpa: HorizontalPodAutoscaler) -> Option<CompetingHpa> {
    let key = ScalerKey::new(hpa.namespace()?, hpa.metadata.name?);
    let reference = hpa.spec.scale_target_ref;
    let target = TargetRef {
        namespace: key.namespace.clone(),
        api_version: reference.api_version.unwrap_or_default(),
        kind: reference.kind,
        name: reference.name,
    };
    Some(CompetingHpa { key, target })
}

/// Trims a target. `None` without a name.
pub(super) fn target(target: PartialObjectMeta<DynamicObject>) -> Option<WatchedTarget> {
    // The API server records the owner of each field. A client that changes the replicas becomes their owner, and the
    // previous owner's entry for the subresource disappears.
    let managers = target.metadata.managed_fields.unwrap_or_default();
    let written_by_us = managers.iter().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.subresource.as_deref() == Some("scale")
    });
    Some(WatchedTarget {
        namespace: target.metadata.namespace?,
        name: target.metadata.name?,
        written_by_us,
    })
}

/// Parses a PushScaler. `None` without a name. Objects are parsed one by one: one that an older CRD accepted must not
/// hide the others.
pub(super) fn scaler(scaler: DynamicObject) -> Option<Box<WatchedScaler>> {
    let key = ScalerKey::new(scaler.namespace()?, scaler.metadata.name.clone()?);
    let spec = PushScalerSpec::deserialize(&scaler.data["spec"]);
    let policy = match &spec {
        Ok(spec) => policy_of(spec),
        Err(error) => Err(vec![unparsable(error)]),
    };
    let spec = spec.ok();
    let target = target_of(&scaler, &key.namespace);
    let reference = target.to_string();
    // A status that does not parse is written again, and so is that of another target, before spec.scaleTargetRef was
    // changed.
    let status = PushScalerStatus::deserialize(&scaler.data["status"]).ok();
    let status = status.filter(|status| status.reference.as_ref() == Some(&reference));
    Some(Box::new(WatchedScaler {
        deletion: deletion_of(&scaler, status.as_ref()),
        target,
        key,
        uid: scaler.uid().unwrap_or_default(),
        generation: scaler.metadata.generation,
        labels: scaler.labels().clone(),
        policy,
        schedules: spec.as_ref().map(schedules_of).unwrap_or_default(),
        spec,
        restored: restore(status.as_ref()),
    }))
}

impl WatchedScaler {
    pub(super) fn stored_status(self) -> (ScalerKey, StoredStatus) {
        let status = StoredStatus {
            uid: self.uid,
            target: self.target,
            last_scale_time: self.restored.last_scale_time,
            transitions: self.restored.transitions,
            changes: self.restored.changes,
            replicas_before: self.deletion.replicas_before,
        };
        (self.key, status)
    }
}

fn deletion_of(scaler: &DynamicObject, status: Option<&PushScalerStatus>) -> ScalerDeletion {
    let spec = &scaler.data["spec"];
    let applies = spec["mode"] == "Apply";
    ScalerDeletion {
        restores: spec["onDelete"] == "Restore",
        applies,
        deleting: scaler.metadata.deletion_timestamp.is_some(),
        finalizers: scaler.finalizers().to_vec(),
        resource_version: scaler.resource_version().unwrap_or_default(),
        replicas_before: status.and_then(|status| status.replicas_before),
    }
}

/// Problems in the schedules are reported with the policy's.
fn schedules_of(spec: &PushScalerSpec) -> Schedules {
    let schedules = spec.schedules.as_deref().unwrap_or_default();
    Schedules::parse(schedules).unwrap_or_default()
}

/// Returns the target, with empty names if the spec has none.
fn target_of(scaler: &DynamicObject, namespace: &str) -> TargetRef {
    let reference = &scaler.data["spec"]["scaleTargetRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
    TargetRef {
        namespace: namespace.to_owned(),
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: text("name"),
    }
}

fn unparsable(error: &serde_json::Error) -> SpecProblem {
    SpecProblem {
        field: "spec".to_owned(),
        found: format!("not readable ({error})"),
        expected: "a spec of this release's CRD",
    }
}

#[cfg(test)]
mod tests {
    use pushscale_decision::Conditions;
    use serde_json::json;

    use super::*;

    /// Returns a PushScaler of the Deployment `torchserve`, with a status of this target.
    fn scaler_with_status_of(target: &str) -> WatchedScaler {
        let object = json!({
            "kind": "PushScaler", "apiVersion": "pushscale.dev/v1alpha1",
            "metadata": { "name": "a", "namespace": "models" },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
            },
            "status": {
                "reference": target,
                "replicasBefore": 2,
                "lastScaleTime": "2026-03-02T08:00:00Z",
                "history": [{ "time": "2026-03-02T08:00:00Z", "from": 2, "to": 3, "reason": "" }],
                "conditions": [{
                    "type": "AbleToScale", "status": "True", "reason": "SucceededRescale", "message": "",
                    "lastTransitionTime": "2026-03-02T08:00:00Z",
                }],
            },
        });
        *scaler(serde_json::from_value(object).unwrap()).unwrap()
    }

    #[test]
    fn nothing_is_restored_from_the_status_of_another_target() {
        let own = scaler_with_status_of("Deployment/torchserve");
        assert_eq!(own.restored.changes.len(), 1);
        assert!(own.restored.conditions.able_to_scale.is_some());
        assert_eq!(own.deletion.replicas_before, Some(2));
        let other = scaler_with_status_of("Deployment/before");
        assert_eq!(other.restored.changes, []);
        assert_eq!(other.restored.transitions, []);
        assert_eq!(other.restored.last_scale_time, None);
        assert_eq!(other.restored.conditions, Conditions::default());
        assert_eq!(other.deletion.replicas_before, None);
    }
}
