//! `controller.kubernetes.io/pod-deletion-cost`: which pods a ReplicaSet's controller is to delete first.
//!
//! By server-side apply of this one annotation: the API server keeps whose it is, refuses to overwrite somebody else's,
//! and takes back what is ours alone.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use pushscale_api::names::{FIELD_MANAGER, POD_DELETION_COST};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::kube_scale::said;
use crate::scale_target::{Cost, Marked, PodName};

/// Below every pod that nobody has said anything of, whose cost is 0.
const FIRST: &str = "-1000";

/// For all pods of one step together: a smaller size may wait so long, and no longer for a hint.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Pods told at a time.
const AT_ONCE: usize = 16;

const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;

/// These go first.
pub(crate) async fn put(client: &Client, namespace: &str, pods: &[PodName]) -> Marked {
    apply_all(
        client,
        namespace,
        pods,
        &json!({ POD_DELETION_COST: FIRST }),
    )
    .await
}

/// These go when they go.
pub(crate) async fn take_back(client: &Client, namespace: &str, pods: &[PodName]) -> Marked {
    apply_all(client, namespace, pods, &json!({})).await
}

/// Who has said what this pod costs.
pub(crate) fn whose(pod: &KubePod) -> Cost {
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.is_none_or(|all| !all.contains_key(POD_DELETION_COST)) {
        return Cost::None;
    }
    let field = format!("f:{POD_DELETION_COST}");
    let ours = pod.metadata.managed_fields.iter().flatten().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| !fields.0["f:metadata"]["f:annotations"][&field].is_null())
    });
    if ours { Cost::Ours } else { Cost::Others }
}

async fn apply_all(
    client: &Client,
    namespace: &str,
    pods: &[PodName],
    annotations: &Value,
) -> Marked {
    let by = Instant::now() + TIMEOUT;
    let api: Api<KubePod> = Api::namespaced(client.clone(), namespace);
    let each: Vec<_> = pods
        .iter()
        .map(|pod| apply(api.clone(), pod.clone(), annotations.clone(), by))
        .collect();
    let outcomes: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
    let mut marked = Marked::default();
    for outcome in outcomes {
        match outcome {
            Ok(()) => marked.told += 1,
            Err(Problem::Held) => marked.held += 1,
            Err(Problem::Failed(problem)) => {
                marked.failed += 1;
                marked.problem.get_or_insert(problem);
            }
        }
    }
    marked
}

async fn apply(
    api: Api<KubePod>,
    pod: PodName,
    annotations: Value,
    by: Instant,
) -> Result<(), Problem> {
    // The uid: a pod of this name that was made since is another one, and none must be made by this.
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
    match timeout_at(by, api.patch(&pod.name, &params, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, CONFLICT | NOT_FOUND) => {
            Err(Problem::Held)
        }
        Ok(Err(error)) => Err(Problem::Failed(format!("{}: {}", pod.name, said(&error)))),
        Err(_) => Err(Problem::Failed(format!(
            "{}: the API server does not answer",
            pod.name
        ))),
    }
}

enum Problem {
    /// Somebody else's word stands, or the pod is gone.
    Held,
    Failed(String),
}
