//! Publishes the CA to the API server, in the `caBundle` of the objects by which it calls our servers: the injector's
//! webhook configuration and the APIService of the external metrics.

use std::fmt::Debug;
use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use k8s_openapi::{ByteString, ClusterResourceScope};
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use pushscale_daemon::error::chain;
use pushscale_kubernetes::request;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bundle::NewestBundle;
use crate::config::ApiServiceSettings;
use crate::metrics::{CertificateMetrics, Failure};
use crate::secrets::{FIELD_MANAGER, TIMEOUT};
use crate::write_schedule::WriteSchedule;

/// An object with a `caBundle`.
pub(crate) struct Target {
    /// `metadata.name`.
    pub(crate) name: String,
    /// What is counted if a write fails.
    pub(crate) failure: Failure,
}

/// Keeps the `caBundle` of an object up to date, once it exists. `changes` returns the JSON patch that the object
/// needs. Never returns.
pub(crate) async fn run<K>(
    client: Client,
    target: Target,
    mut newest: NewestBundle,
    metrics: CertificateMetrics,
    changes: impl Fn(&K, &str) -> Vec<Value>,
) where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let Target { name, failure } = target;
    let kind = K::kind(&());
    let api: Api<K> = Api::all(client);
    let mut stream = pin!(watch_object(api.clone(), &name).default_backoff());
    let mut object = None;
    let mut schedule = WriteSchedule::new();
    loop {
        let bundle = newest.borrow_and_update().clone();
        let patch = match (&object, &bundle) {
            (Some(found), Some(bundle)) => changes(found, bundle),
            _ => Vec::new(),
        };
        let is_outdated = !patch.is_empty();
        if is_outdated && schedule.next() <= Instant::now() {
            match write(&api, &name, patch).await {
                Ok(written) => {
                    tracing::info!(%kind, name, "caBundle written");
                    schedule.succeeded();
                    object = Some(written);
                }
                Err(error) => {
                    metrics.failures.increment(failure);
                    schedule.failed();
                    tracing::warn!(%kind, name, error, "failed to write the caBundle, retrying");
                }
            }
            continue;
        }
        tokio::select! {
            Some(next) = stream.next() => match next {
                Ok(found) => object = found,
                Err(error) => tracing::warn!(%kind, name, error = %chain(&error), "watch failed, retrying"),
            },
            // A new CA is written without delay.
            Ok(()) = newest.changed() => schedule.expedite(),
            () = tokio::time::sleep_until(schedule.next()), if is_outdated => {}
        }
    }
}

/// Returns a JSON patch of `caBundle` of all webhooks. It tests the names, since the list may have changed.
pub(crate) fn webhook_changes(
    configuration: &MutatingWebhookConfiguration,
    bundle: &str,
) -> Vec<Value> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let mut patch = Vec::new();
    for (index, webhook) in configuration.webhooks.iter().flatten().enumerate() {
        if webhook.client_config.ca_bundle.as_ref() == Some(&wanted) {
            continue;
        }
        let path = format!("/webhooks/{index}");
        patch.extend([
            json!({ "op": "test", "path": format!("{path}/name"), "value": webhook.name }),
            json!({ "op": "add", "path": format!("{path}/clientConfig/caBundle"), "value": wanted }),
        ]);
    }
    patch
}

/// Returns a JSON patch of `caBundle`, if the APIService is ours: another program may have taken it over.
pub(crate) fn api_service_changes(
    settings: &ApiServiceSettings,
    api_service: &APIService,
    bundle: &str,
) -> Vec<Value> {
    let Some(spec) = &api_service.spec else {
        return Vec::new();
    };
    let service = spec.service.as_ref();
    let is_ours = service.is_some_and(|service| {
        service.namespace.as_ref() == Some(&settings.namespace)
            && service.name.as_ref() == Some(&settings.service)
    });
    let wanted = ByteString(bundle.as_bytes().to_vec());
    if !is_ours || spec.ca_bundle.as_ref() == Some(&wanted) {
        return Vec::new();
    }
    vec![
        json!({ "op": "test", "path": "/spec/service/namespace", "value": settings.namespace }),
        json!({ "op": "test", "path": "/spec/service/name", "value": settings.service }),
        json!({ "op": "add", "path": "/spec/caBundle", "value": wanted }),
    ]
}

async fn write<K>(api: &Api<K>, name: &str, patch: Vec<Value>) -> Result<K, String>
where
    K: Clone + Debug + DeserializeOwned,
{
    let patch = serde_json::from_value(Value::Array(patch)).map_err(|error| error.to_string())?;
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::<()>::Json(patch);
    let written = request(TIMEOUT, api.patch(name, &params, &patch)).await;
    written.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_service(service: &str, bundle: Option<&str>) -> APIService {
        let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        let spec = json!({
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": { "namespace": "pushscale", "name": service },
            "caBundle": bundle,
        });
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn the_api_service_of_another_program_is_left_alone() {
        let settings = ApiServiceSettings {
            name: "v1beta1.external.metrics.k8s.io".to_owned(),
            namespace: "pushscale".to_owned(),
            service: "ours".to_owned(),
        };
        let changes = |found: &APIService| api_service_changes(&settings, found, "new");
        for bundle in [None, Some("old")] {
            let patch = changes(&api_service("ours", bundle));
            let last = patch.last().unwrap();
            assert_eq!(last["path"], "/spec/caBundle");
            assert_eq!(last["value"], "bmV3");
            assert!(changes(&api_service("keda", bundle)).is_empty());
        }
        assert!(changes(&api_service("ours", Some("new"))).is_empty());
        assert!(changes(&APIService::default()).is_empty());
    }
}
