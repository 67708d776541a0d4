//! Sizes in a cluster: the `scale` subresource of any object that has one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::autoscaling::v1::Scale as KubeScale;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::DynamicResourceScope;
use kube::core::gvk::GroupVersion;
use kube::{Api, Client, Resource, discovery};
use pushscale_api::names::FIELD_MANAGER;
use serde_json::json;
use tokio::time::timeout;

use crate::deletion_cost;
use crate::names::TargetRef;
use crate::scale_target::{Marked, Pending, PodName, Scale, ScaleError, ScaleTarget, Written};

/// How long the API server may take. A write in flight holds its scaler, so it must end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a JSON patch whose test fails is answered with.
const UNPROCESSABLE: u16 = 422;

/// Reads and writes scales through the API server.
pub struct ClusterScales {
    client: Client,
    /// `apiVersion` and `kind` to what the API server calls it: discovery takes a request of its own.
    resources: Mutex<BTreeMap<(String, String), ApiResource>>,
    deletion_cost: bool,
}

impl ClusterScales {
    /// Over this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            resources: Mutex::default(),
            deletion_cost: false,
        }
    }

    /// Whether pods are told which goes first. What was told before is taken back in any case.
    #[must_use]
    pub fn with_deletion_cost(self, deletion_cost: bool) -> Self {
        Self {
            deletion_cost,
            ..self
        }
    }

    /// The objects of the target's kind in its namespace.
    ///
    /// # Errors
    /// If the API server knows no such kind, or does not answer.
    pub(crate) async fn api<K>(&self, target: &TargetRef) -> Result<Api<K>, ScaleError>
    where
        K: Resource<Scope = DynamicResourceScope, DynamicType = ApiResource>,
    {
        let resource = self.resource(target).await?;
        Ok(Api::namespaced_with(
            self.client.clone(),
            &target.namespace,
            &resource,
        ))
    }

    /// The target's size now.
    ///
    /// # Errors
    /// If it does not exist, has no scale, or may not be read.
    pub(crate) async fn read(&self, target: &TargetRef) -> Result<Scale, ScaleError> {
        let api = self.api::<DynamicObject>(target).await?;
        let scale = in_time(target, api.get_scale(&target.name)).await?;
        Ok(neutral(&scale))
    }

    async fn resource(&self, target: &TargetRef) -> Result<ApiResource, ScaleError> {
        let key = (target.api_version.clone(), target.kind.clone());
        let known = |resources: &Mutex<BTreeMap<_, ApiResource>>| {
            let resources = resources.lock().unwrap_or_else(PoisonError::into_inner);
            resources.get(&key).cloned()
        };
        if let Some(resource) = known(&self.resources) {
            return Ok(resource);
        }
        let no_kind = |message: String| ScaleError::NoKind {
            kind: target.kind.clone(),
            api_version: target.api_version.clone(),
            message,
        };
        let gvk = target
            .api_version
            .parse::<GroupVersion>()
            .map_err(|error| no_kind(error.to_string()))?
            .with_kind(&target.kind);
        let found = timeout(TIMEOUT, discovery::pinned_kind(&self.client, &gvk)).await;
        let (resource, _) = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(no_kind(said(&error))),
            Err(_) => return Err(no_kind("the API server does not answer".to_owned())),
        };
        let mut resources = self
            .resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        resources.insert(key, resource.clone());
        Ok(resource)
    }

    async fn write_if_unchanged(
        &self,
        target: &TargetRef,
        from: u32,
        to: u32,
    ) -> Result<Written, ScaleError> {
        let api = self.api::<DynamicObject>(target).await?;
        // The test makes it one step on the server: what a person sets between our decision and our write is
        // never overwritten. A resource version would also refuse after every change of the target's status,
        // several a second while pods start.
        let patch = serde_json::from_value(json!([
            { "op": "test", "path": "/spec/replicas", "value": from },
            { "op": "replace", "path": "/spec/replicas", "value": to },
        ]))
        .map_err(|error| other(target, error.to_string()))?;
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        let written = timeout(TIMEOUT, api.patch_scale(&target.name, &params, &patch)).await;
        match written {
            Ok(Ok(scale)) => Ok(Written::Done(neutral(&scale))),
            Ok(Err(kube::Error::Api(status))) if status.code == UNPROCESSABLE => {
                let now = self.read(target).await?;
                if now.replicas == from {
                    // Not our test, then: the server refuses the new size itself.
                    return Err(other(target, status.message));
                }
                Ok(Written::Moved(now))
            }
            Ok(Err(error)) => Err(told(target, &error)),
            Err(_) => Err(other(target, "the API server does not answer".to_owned())),
        }
    }
}

impl ScaleTarget for ClusterScales {
    fn write<'a>(
        &'a self,
        target: &'a TargetRef,
        from: u32,
        to: u32,
    ) -> Pending<'a, Result<Written, ScaleError>> {
        Box::pin(self.write_if_unchanged(target, from, to))
    }

    fn send_first<'a>(&'a self, target: &'a TargetRef, pods: &'a [PodName]) -> Pending<'a, Marked> {
        Box::pin(async move {
            if self.deletion_cost {
                deletion_cost::put(&self.client, &target.namespace, pods).await
            } else {
                Marked::default()
            }
        })
    }

    fn let_stay<'a>(&'a self, target: &'a TargetRef, pods: &'a [PodName]) -> Pending<'a, Marked> {
        Box::pin(deletion_cost::take_back(
            &self.client,
            &target.namespace,
            pods,
        ))
    }
}

async fn in_time<T>(
    target: &TargetRef,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ScaleError> {
    match timeout(TIMEOUT, request).await {
        Ok(outcome) => outcome.map_err(|error| told(target, &error)),
        Err(_) => Err(other(target, "the API server does not answer".to_owned())),
    }
}

pub(crate) fn told(target: &TargetRef, error: &kube::Error) -> ScaleError {
    let name = target.to_string();
    match error {
        kube::Error::Api(status) if status.code == 404 => ScaleError::NotFound {
            target: name,
            namespace: target.namespace.clone(),
        },
        kube::Error::Api(status) if status.code == 403 => ScaleError::Forbidden {
            target: name,
            message: status.message.clone(),
        },
        error => other(target, said(error)),
    }
}

fn other(target: &TargetRef, message: String) -> ScaleError {
    ScaleError::Other {
        target: target.to_string(),
        message,
    }
}

/// What the API server said, without the client's wrapping.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn neutral(scale: &KubeScale) -> Scale {
    let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas);
    let selector = scale
        .status
        .as_ref()
        .and_then(|status| status.selector.clone());
    let version = scale
        .metadata
        .resource_version
        .as_ref()
        .and_then(|version| version.parse().ok());
    Scale {
        replicas: u32::try_from(replicas.unwrap_or_default()).unwrap_or_default(),
        selector: selector.unwrap_or_default(),
        version: version.unwrap_or_default(),
    }
}
