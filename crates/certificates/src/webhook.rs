//! Publishes the CA to the API server, in the `caBundle` of the injector's webhook configuration.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use pushscale_daemon::error::chain;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::bundle::NewestBundle;
use crate::kube_error::{TIMED_OUT, message};
use crate::metrics::{CertificateMetrics, Failure};
use crate::secrets::{FIELD_MANAGER, TIMEOUT};

/// The minimum time between two writes, unless there is a new CA. It limits conflicts with a client that reverts them.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the `caBundle` of all webhooks of this configuration up to date, once it exists. Never returns.
pub(crate) async fn run(
    client: Client,
    name: String,
    mut newest: NewestBundle,
    metrics: CertificateMetrics,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mut stream = pin!(watch_object(api.clone(), &name).default_backoff());
    let mut configuration = None;
    let mut next_write = Instant::now();
    loop {
        let bundle = newest.borrow_and_update().clone();
        let patch = match (&configuration, &bundle) {
            (Some(found), Some(bundle)) => changes(found, bundle),
            _ => Vec::new(),
        };
        let is_outdated = !patch.is_empty();
        if is_outdated && next_write <= Instant::now() {
            next_write = Instant::now() + WRITE_INTERVAL;
            match write(&api, &name, patch).await {
                Ok(written) => {
                    tracing::info!(webhook = %name, "caBundle written");
                    configuration = Some(written);
                }
                Err(error) => {
                    metrics.failed(Failure::Webhook);
                    tracing::warn!(webhook = %name, error, "failed to write the caBundle, retrying");
                }
            }
            continue;
        }
        tokio::select! {
            Some(next) = stream.next() => match next {
                Ok(found) => configuration = found,
                Err(error) => tracing::warn!(webhook = %name, error = %chain(&error), "webhook watch failed, retrying"),
            },
            // A new CA is written without delay.
            Ok(()) = newest.changed() => next_write = Instant::now(),
            () = tokio::time::sleep_until(next_write), if is_outdated => {}
        }
    }
}

/// Returns a JSON patch of `caBundle` only. It tests the names, since the list may have changed.
fn changes(configuration: &MutatingWebhookConfiguration, bundle: &str) -> Vec<Value> {
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

async fn write(
    api: &Api<MutatingWebhookConfiguration>,
    name: &str,
    patch: Vec<Value>,
) -> Result<MutatingWebhookConfiguration, String> {
    let patch = serde_json::from_value(Value::Array(patch)).map_err(|error| error.to_string())?;
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::<()>::Json(patch);
    match timeout(TIMEOUT, api.patch(name, &params, &patch)).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(error)) => Err(message(&error)),
        Err(_) => Err(TIMED_OUT.to_owned()),
    }
}
