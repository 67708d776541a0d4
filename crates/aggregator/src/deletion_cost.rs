//! The annotation `controller.kubernetes.io/pod-deletion-cost`, by which a ReplicaSet's controller chooses the pods to
//! delete first.
//!
//! The annotation is written by server-side apply: the API server tracks its owner, rejects overwriting another
//! client's value, and removes only our own.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use pushscale_api::names::{FIELD_MANAGER, POD_DELETION_COST};
use pushscale_kubernetes::{CONFLICT, FORBIDDEN, NOT_FOUND, request};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scale_target::{CostOwner, MarkResult, PodRef};

/// Below the cost of every pod without the annotation, which is 0.
const DELETE_FIRST: &str = "-1000";

/// Timeout for all pods of one scale-down together: a hint must not delay the write longer than this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum concurrent patches.
const MAX_CONCURRENT_PATCHES: usize = 16;

/// Marks these pods to be deleted first.
pub(crate) async fn mark(client: &Client, namespace: &str, pods: &[PodRef]) -> MarkResult {
    let annotations = json!({ POD_DELETION_COST: DELETE_FIRST });
    apply_all(client, namespace, pods, &annotations).await
}

/// Removes our marks from these pods.
pub(crate) async fn unmark(client: &Client, namespace: &str, pods: &[PodRef]) -> MarkResult {
    apply_all(client, namespace, pods, &json!({})).await
}

/// Returns the owner of the pod's deletion cost.
pub(crate) fn owner(pod: &KubePod) -> CostOwner {
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.is_none_or(|all| !all.contains_key(POD_DELETION_COST)) {
        return CostOwner::None;
    }
    let field = format!("f:{POD_DELETION_COST}");
    let is_ours = pod.metadata.managed_fields.iter().flatten().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| !fields.0["f:metadata"]["f:annotations"][&field].is_null())
    });
    if is_ours {
        CostOwner::Us
    } else {
        CostOwner::Other
    }
}

async fn apply_all(
    client: &Client,
    namespace: &str,
    pods: &[PodRef],
    annotations: &Value,
) -> MarkResult {
    let deadline = Instant::now() + TIMEOUT;
    let api: Api<KubePod> = Api::namespaced(client.clone(), namespace);
    let patches: Vec<_> = pods
        .iter()
        .map(|pod| apply(api.clone(), pod.clone(), annotations.clone(), deadline))
        .collect();
    let outcomes: Vec<_> = stream::iter(patches)
        .buffer_unordered(MAX_CONCURRENT_PATCHES)
        .collect()
        .await;
    let mut result = MarkResult::default();
    for outcome in outcomes {
        match outcome {
            Ok(()) => result.updated += 1,
            Err(ApplyError::Skipped) => result.skipped += 1,
            Err(ApplyError::Failed { message, forbidden }) => {
                result.failed += 1;
                result.forbidden |= forbidden;
                result.error.get_or_insert(message);
            }
        }
    }
    result
}

async fn apply(
    api: Api<KubePod>,
    pod: PodRef,
    annotations: Value,
    deadline: Instant,
) -> Result<(), ApplyError> {
    // The uid makes the API server reject the patch if the pod was replaced, and keeps it from creating one.
    let patch = Patch::Apply(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "uid": pod.uid.as_str(),
            "annotations": annotations,
        },
    }));
    let params = PatchParams::apply(FIELD_MANAGER);
    let left = deadline.saturating_duration_since(Instant::now());
    match request(left, api.patch(&pod.name, &params, &patch)).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(CONFLICT | NOT_FOUND)) => {
            Err(ApplyError::Skipped)
        }
        Err(error) => Err(ApplyError::Failed {
            message: format!("{}: {error}", pod.name),
            forbidden: error.code() == Some(FORBIDDEN),
        }),
    }
}

enum ApplyError {
    /// The annotation belongs to another client, or the pod was deleted.
    Skipped,
    Failed {
        message: String,
        forbidden: bool,
    },
}
