//! Replica counts in a cluster, through the `scale` subresource of any object that has one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::autoscaling::v1::Scale as KubeScale;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::DynamicResourceScope;
use kube::core::gvk::GroupVersion;
use kube::{Api, Client, Resource, discovery};
use parking_lot::Mutex;
use pushscale_api::names::FIELD_MANAGER;
use pushscale_api::{PushScaler, PushScalerCheckpoint};
use pushscale_kubernetes::{
    CONFLICT, FORBIDDEN, NOT_FOUND, RequestError, UNPROCESSABLE, is_kind_unknown, request,
};
use serde_json::json;

use crate::deletion_cost;
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{MarkResult, PodRef, Scale, ScaleError, ScaleTarget, Written};

/// Timeout of one request. A scaler makes no decision while its write is in flight, so the write must end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads and writes scales through the API server.
pub struct KubeScaleTarget {
    client: Client,
    /// Discovered resources by `apiVersion` and `kind`, until the API server no longer knows one. Discovery takes an
    /// additional request.
    resources: Mutex<BTreeMap<(String, String), ApiResource>>,
    pod_deletion_cost: bool,
}

impl KubeScaleTarget {
    /// Creates a scale target that uses this client and marks no pods.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            resources: Mutex::default(),
            pod_deletion_cost: false,
        }
    }

    /// Sets whether pods are marked for deletion. Existing marks are removed in any case.
    #[must_use]
    pub fn with_pod_deletion_cost(self, pod_deletion_cost: bool) -> Self {
        Self {
            pod_deletion_cost,
            ..self
        }
    }

    async fn api<K>(&self, target: &TargetRef) -> Result<Api<K>, ScaleError>
    where
        K: Resource<Scope = DynamicResourceScope, DynamicType = ApiResource>,
    {
        let resource = self.resource(&target.api_version, &target.kind).await?;
        Ok(Api::namespaced_with(
            self.client.clone(),
            &target.namespace,
            &resource,
        ))
    }

    async fn read_scale(&self, target: &TargetRef) -> Result<Scale, ScaleError> {
        let api = self.api::<DynamicObject>(target).await?;
        let scale = request(TIMEOUT, api.get_scale(&target.name)).await;
        scale.map(|scale| convert(&scale)).map_err(|error| {
            if matches!(&error, RequestError::Failed(error) if is_kind_unknown(error)) {
                self.forget(&target.api_version, &target.kind);
            }
            scale_error(target, &error)
        })
    }

    /// Makes the next request look up the resource of a kind again: its CRD was deleted, and may be created again with
    /// another name of the resource.
    pub(crate) fn forget(&self, api_version: &str, kind: &str) {
        let key = (api_version.to_owned(), kind.to_owned());
        self.resources.lock().remove(&key);
    }

    /// Looks up the resource of a kind.
    ///
    /// # Errors
    /// If the API server does not know the kind or does not respond.
    pub(crate) async fn resource(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<ApiResource, ScaleError> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(resource) = self.resources.lock().get(&key) {
            return Ok(resource.clone());
        }
        let unknown_kind = |message: String, missing| ScaleError::UnknownKind {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            message,
            missing,
        };
        let gvk = api_version
            .parse::<GroupVersion>()
            .map_err(|error| unknown_kind(error.to_string(), true))?
            .with_kind(kind);
        let found = request(TIMEOUT, discovery::pinned_kind(&self.client, &gvk)).await;
        let (resource, _) = found.map_err(|error| {
            let is_absent = matches!(&error, RequestError::Failed(kube::Error::Discovery(_)));
            let missing = is_absent || error.code() == Some(NOT_FOUND);
            unknown_kind(error.to_string(), missing)
        })?;
        self.resources.lock().insert(key, resource.clone());
        Ok(resource)
    }

    async fn write_if_unchanged(
        &self,
        target: &TargetRef,
        uid: Option<&str>,
        from: u32,
        to: u32,
    ) -> Result<Written, ScaleError> {
        let api = self.api::<DynamicObject>(target).await?;
        // The tests make the write atomic: a change by another client between our decision and our write is never
        // overwritten, nor is a target scaled that was created again in between. A resourceVersion would also conflict
        // with every status update of the target, of which there are several per second while pods start.
        let uid_test =
            uid.map(|uid| json!({ "op": "test", "path": "/metadata/uid", "value": uid }));
        let replicas = [
            json!({ "op": "test", "path": "/spec/replicas", "value": from }),
            json!({ "op": "replace", "path": "/spec/replicas", "value": to }),
        ];
        let patch = uid_test.into_iter().chain(replicas).collect();
        let patch =
            serde_json::from_value(patch).map_err(|error| other(target, error.to_string()))?;
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        let written = request(TIMEOUT, api.patch_scale(&target.name, &params, &patch)).await;
        match written {
            Ok(scale) => Ok(Written::Done(convert(&scale))),
            Err(error) if error.code() == Some(UNPROCESSABLE) => {
                let now = self.read_scale(target).await?;
                match now.replicas {
                    _ if uid.is_some() && now.uid.as_deref() != uid => Ok(Written::Conflict(now)),
                    // The response of an earlier write was lost, and it was stored after the target was read.
                    replicas if replicas == to => Ok(Written::Done(now)),
                    // The test passed, so the API server rejects the new replica count.
                    replicas if replicas == from => Err(other(target, error.to_string())),
                    _ => Ok(Written::Conflict(now)),
                }
            }
            Err(error) => Err(scale_error(target, &error)),
        }
    }
}

impl KubeScaleTarget {
    async fn patch_finalizers(
        &self,
        scaler: &ScalerKey,
        resource_version: &str,
        finalizers: &[String],
    ) -> Result<(), ScaleError> {
        let api: Api<PushScaler> = Api::namespaced(self.client.clone(), &scaler.namespace);
        // The resource version protects the finalizers of others, which a patch replaces too.
        let patch = json!({ "metadata": { "resourceVersion": resource_version, "finalizers": finalizers } });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        match request(TIMEOUT, api.patch_metadata(&scaler.name, &params, &patch)).await {
            Ok(_) => Ok(()),
            // It is deleted already, or the watch is about to deliver a newer version.
            Err(error) if matches!(error.code(), Some(NOT_FOUND | CONFLICT)) => Ok(()),
            Err(error) => Err(ScaleError::Other {
                target: format!("finalizers of PushScaler {}", scaler.name),
                message: error.to_string(),
            }),
        }
    }

    async fn get_checkpoint(
        &self,
        scaler: &ScalerKey,
    ) -> Result<Option<PushScalerCheckpoint>, ScaleError> {
        let api: Api<PushScalerCheckpoint> =
            Api::namespaced(self.client.clone(), &scaler.namespace);
        match request(TIMEOUT, api.get_opt(&scaler.name)).await {
            // The kind may not be installed: it is younger than the PushScaler.
            Ok(found) => Ok(found),
            Err(RequestError::Failed(kube::Error::SerdeError(error))) => {
                tracing::warn!(autoscaler = %scaler, %error, "checkpoint ignored: it does not parse");
                Ok(None)
            }
            Err(error) => Err(ScaleError::Other {
                target: format!("PushScalerCheckpoint {scaler}"),
                message: error.to_string(),
            }),
        }
    }
}

impl ScaleTarget for KubeScaleTarget {
    fn read<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        Box::pin(self.read_scale(target))
    }

    fn write<'a>(
        &'a self,
        target: &'a TargetRef,
        uid: Option<&'a str>,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>> {
        Box::pin(self.write_if_unchanged(target, uid, from, to))
    }

    fn marks_pods(&self) -> bool {
        self.pod_deletion_cost
    }

    fn mark_for_deletion<'a>(
        &'a self,
        target: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        Box::pin(async move {
            if self.pod_deletion_cost {
                deletion_cost::mark(&self.client, &target.namespace, pods).await
            } else {
                MarkResult::default()
            }
        })
    }

    fn set_finalizers<'a>(
        &'a self,
        scaler: &'a ScalerKey,
        resource_version: &'a str,
        finalizers: &'a [String],
    ) -> BoxFuture<'a, Result<(), ScaleError>> {
        Box::pin(self.patch_finalizers(scaler, resource_version, finalizers))
    }

    fn read_checkpoint<'a>(
        &'a self,
        scaler: &'a ScalerKey,
    ) -> BoxFuture<'a, Result<Option<PushScalerCheckpoint>, ScaleError>> {
        Box::pin(self.get_checkpoint(scaler))
    }

    fn unmark<'a>(
        &'a self,
        target: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        Box::pin(deletion_cost::unmark(&self.client, &target.namespace, pods))
    }
}

/// Converts an error of a request for this target.
fn scale_error(target: &TargetRef, error: &RequestError) -> ScaleError {
    match error.code() {
        Some(NOT_FOUND) => ScaleError::NotFound {
            target: target.to_string(),
            namespace: target.namespace.clone(),
        },
        Some(FORBIDDEN) => ScaleError::Forbidden {
            target: target.to_string(),
            message: error.to_string(),
        },
        _ => other(target, error.to_string()),
    }
}

fn other(target: &TargetRef, message: String) -> ScaleError {
    ScaleError::Other {
        target: target.to_string(),
        message,
    }
}

fn convert(scale: &KubeScale) -> Scale {
    let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas);
    let status = scale.status.as_ref();
    let selector = status.and_then(|status| status.selector.clone());
    let existing = status.and_then(|status| u32::try_from(status.replicas).ok());
    let version = scale
        .metadata
        .resource_version
        .as_ref()
        .and_then(|version| version.parse().ok());
    Scale {
        replicas: u32::try_from(replicas.unwrap_or_default()).unwrap_or_default(),
        existing,
        selector: selector.unwrap_or_default(),
        uid: scale.metadata.uid.clone(),
        version: version.unwrap_or_default(),
    }
}
